/** What a command reads and writes: the process's own streams, or those of a test. */
import type { Readable, Writable } from "node:stream";

export type Io = {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean; columns?: number };
  stderr: Writable & { isTTY?: boolean; columns?: number };
  env: Record<string, string | undefined>;
  cwd: string;
  /** Calls back at Ctrl-C, or when the terminal closes or the system ends it, until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
};

const INTERRUPTS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function processIo(): Io {
  const { stdin, stdout, stderr, env } = process;
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
  };
}

/** All of standard input, as text. */
export async function readStdin(io: Io): Promise<string> {
  let text = "";
  for await (const part of io.stdin.setEncoding("utf8")) text += String(part);
  return text;
}
