/** Why a model's environment can't be had; the message says what to do. */
export class EnvironmentProblem extends Error {
  override readonly name = "EnvironmentProblem";
}
