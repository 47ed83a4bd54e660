/** How a command ends when it can't do what it was asked to. */

/** The exit codes of every command; `--help` prints them. */
export const exitCodes = {
  done: 0,
  /** The gateway or the model refused it, or it failed. */
  failed: 1,
  /** The command was used wrongly, or a setting is wrong. */
  usage: 2,
  /** No key, a wrong one, or one that may not do this. */
  forbidden: 3,
  notFound: 4,
  /** The gateway can't be reached, or isn't available. */
  unreachable: 5,
  /** Ctrl-C, or another signal to end. */
  interrupted: 130,
} as const;

export class CliError extends Error {
  readonly exitCode: number;
  /** What to do about it. */
  readonly remedy: string | null;

  constructor(message: string, exitCode: number = exitCodes.failed, remedy: string | null = null) {
    super(message);
    this.exitCode = exitCode;
    this.remedy = remedy;
  }
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
