/** The arguments of a command: text, or the bytes of a raw body, which need not be text. */
export type Argument = string | Buffer;

/**
 * An argument as text, to compare it with words that the server knows. Bytes that are no UTF-8 become U+FFFD, which is
 * in no such word.
 */
export function textOf(argument: Argument | undefined): string {
  return typeof argument === "string" ? argument : (argument?.toString("utf8") ?? "");
}

/** By its bytes: what is no UTF-8 must not look like a prefix that has U+FFFD in it. */
export function startsWith(argument: Argument, prefix: string): boolean {
  if (typeof argument === "string") return argument.startsWith(prefix);
  const bytes = Buffer.from(prefix);
  return argument.subarray(0, bytes.length).equals(bytes);
}
