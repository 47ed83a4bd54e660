/** What a command reads and writes: the process's own streams, or those of a test. */
import type { Readable, Writable } from "node:stream";

export type Io = {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean; columns?: number };
  stderr: Writable & { isTTY?: boolean; columns?: number };
  env: Record<string, string | undefined>;
  cwd: string;
  /** Calls back at Ctrl-C, until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
};

export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  return {
    stdin,
    stdout,
    stderr,
    env,
    cwd: process.cwd(),
    onInterrupt(listener) {
      process.on("SIGINT", listener);
      return () => void process.off("SIGINT", listener);
    },
  };
}

/** All of standard input, as text. */
export async function readStdin(io: Io): Promise<string> {
  let text = "";
  for await (const part of io.stdin.setEncoding("utf8")) text += String(part);
  return text;
}
