/** What a command reads and writes: the process's own streams, or those of a test. */
import type { Readable, Writable } from "node:stream";
import { onReaderGone } from "../scripts/lib/reader-gone.ts";

export type Io = {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean; columns?: number };
  stderr: Writable & { isTTY?: boolean; columns?: number };
  env: Record<string, string | undefined>;
  cwd: string;
  /** Calls back at Ctrl-C, or when the terminal closes or the system ends it, until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
  /**
   * Calls back when nobody reads any more what is printed, until the returned function is called. While nobody listens
   * that ends the process at once.
   */
  onReaderGone(listener: () => void): () => void;
};

const INTERRUPTS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  const onGone = new Set<() => void>();
  onReaderGone(() => {
    // A reader that has seen enough, such as `head`, is no error.
    if (onGone.size === 0) process.exit(0);
    for (const listener of onGone) listener();
  });
  return {
    stdin,
    stdout,
    stderr,
    env,
    cwd: process.cwd(),
    onInterrupt(listener) {
      for (const signal of INTERRUPTS) process.on(signal, listener);
      return () => {
        for (const signal of INTERRUPTS) process.off(signal, listener);
      };
    },
    onReaderGone(listener) {
      onGone.add(listener);
      return () => void onGone.delete(listener);
    },
  };
}

/** All of standard input, as text. */
export async function readStdin(io: Io): Promise<string> {
  let text = "";
  for await (const part of io.stdin.setEncoding("utf8")) text += String(part);
  return text;
}
