/** Streams of a test, and what came out of them. */
import { PassThrough, Readable } from "node:stream";
import type { Io } from "./io.ts";
import { createProgram, run } from "./program.ts";

export type Ran = { code: number; stdout: string; stderr: string };

type Options = {
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string;
  interrupt?: Promise<void>;
  program?: typeof createProgram;
};

/** Runs a command as a shell would. `interrupt`: Ctrl-C, when that comes about. */
export async function runCli(args: readonly string[], options: Options = {}): Promise<Ran> {
  const { env = {}, cwd = "/", stdin = "", interrupt, program = createProgram } = options;
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const read = { stdout: "", stderr: "" };
  stdout.setEncoding("utf8").on("data", (part: string) => (read.stdout += part));
  stderr.setEncoding("utf8").on("data", (part: string) => (read.stderr += part));
  const io: Io = {
    stdin: Readable.from([stdin]),
    stdout,
    stderr,
    env,
    cwd,
    onInterrupt(listener) {
      let isOver = false;
      void interrupt?.then(() => {
        if (!isOver) listener();
      });
      return () => (isOver = true);
    },
    onReaderGone: () => () => {},
  };
  const code = await run(io, args, program(io));
  return { code, ...read };
}
