import { tmpdir } from "node:os";

/** Why a model's environment can't be had; the message says what to do. */
export class EnvironmentProblem extends Error {
  override readonly name: string = "EnvironmentProblem";
}

/** The host has no room for it. */
export class DiskFull extends EnvironmentProblem {
  override readonly name = "DiskFull";

  constructor(dir: string, said: string) {
    super(
      `The disk is full, so the environment ${dir} can't be built: make room there and in ${tmpdir()}, or choose another folder with --environments-dir.\n${said}`,
    );
  }
}
