/** A reason why a deployment can't go on, as one line, and what to do about it. */
export class DeployError extends Error {
  override readonly name = "DeployError";
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}
