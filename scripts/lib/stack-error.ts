/** A reason why the local stack can't run, as one line for whoever started it. */
export class StackError extends Error {
  override readonly name = "StackError";
}
