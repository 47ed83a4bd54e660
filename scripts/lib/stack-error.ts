/** A reason why the local stack can't run, as one line for whoever started it. */
export class StackError extends Error {
  override readonly name = "StackError";
}

/** What the system refuses, in the words of whoever can mend it. */
const refusals: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; make room, or name a folder on another with EDGEPLANE_STATE_DIR",
  EDQUOT: "the disk quota is used up; make room, or name a folder on another with EDGEPLANE_STATE_DIR",
  EROFS: "the file system is read-only; name a folder on another with EDGEPLANE_STATE_DIR",
  EACCES: "this user may not write there; name another folder with EDGEPLANE_STATE_DIR",
};

/** One line for a reason that an operator can mend; the stack of anything else. */
export function plainMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof StackError) return error.message;
  const refusal = "code" in error && typeof error.code === "string" ? refusals[error.code] : undefined;
  return refusal === undefined ? (error.stack ?? error.message) : `${refusal} (${error.message}).`;
}
