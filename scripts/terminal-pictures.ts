/**
 * `node scripts/terminal-pictures.ts`: draws docs/pictures/ from what the command really prints: it brings up a local
 * stack, runs the commands as on a terminal, and makes an SVG of each. What is written over while something goes on
 * (a place in the queue) is drawn once, in grey.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Io } from "../cli/io.ts";
import { run } from "../cli/program.ts";
import { helloThrough } from "./lib/hello.ts";
import { startStack } from "./lib/stack.ts";
import { terminalSvg } from "./lib/terminal-svg.ts";
import type { TerminalLine } from "./lib/terminal-svg.ts";

const folder = fileURLToPath(new URL("../docs/pictures/", import.meta.url));
/** What a terminal clears a line with before it is written over. */
const CLEAR = "\r\u001b[2K";
/** So many slow predictions stand ahead in the queue of the one that is drawn. */
const AHEAD = 6;
const COLUMNS = 96;

const home = mkdtempSync(join(tmpdir(), "edgeplane-pictures-"));
const stack = await startStack({ stateDir: join(home, "state"), offline: true });
try {
  await helloThrough(stack);
  mkdirSync(folder, { recursive: true });
  draw("doctor", await terminal("doctor"));
  // Its signature is known once it was loaded, and then it streams.
  await terminal("predict", "local/stream-words", "-i", "text=warm");
  const words = ["predict", "local/stream-words", "-i", "text=a place, an ETA, then each word as it comes"];
  for (let ahead = 0; ahead < AHEAD; ahead += 1)
    await terminal("predict", "local/stream-words", "-i", "text=one two three", "-i", "delay_ms=700", "--detach");
  draw("predict", await terminal(...words));
} finally {
  await stack.stop();
  rmSync(home, { recursive: true, force: true });
}

function draw(name: string, lines: readonly TerminalLine[]): void {
  writeFileSync(join(folder, `${name}.svg`), terminalSvg(lines));
  for (const { text } of lines) console.log(text);
}

/** Runs a command on a terminal; answers what stands there in the end, below the command itself. */
async function terminal(...args: string[]): Promise<TerminalLine[]> {
  const written: string[] = [];
  const screen = (): PassThrough & { isTTY: boolean; columns: number } => {
    const stream = new PassThrough().setEncoding("utf8").on("data", (text: string) => written.push(text));
    return Object.assign(stream, { isTTY: true, columns: COLUMNS });
  };
  const io: Io = {
    stdin: Readable.from([]),
    stdout: screen(),
    stderr: screen(),
    env: { HOME: home, EDGEPLANE_URL: stack.url, EDGEPLANE_API_KEY: stack.apiKey, EDGEPLANE_ADMIN_KEY: stack.adminKey },
    cwd: home,
    onInterrupt: () => () => {},
    onReaderGone: () => () => {},
  };
  const code = await run(io, args);
  if (code !== 0) throw new Error(`edgeplane ${args.join(" ")} ended with ${code}: ${written.join("")}`);
  const command = `$ edgeplane ${args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`)).join(" ")}`;
  return [{ kind: "command", text: command }, ...linesOf(written.join(""))];
}

function linesOf(text: string): TerminalLine[] {
  const lines = text.split("\n").flatMap((line): TerminalLine[] => {
    const parts = line.split(CLEAR);
    const shown = parts.pop() ?? "";
    const passing = parts.find((part) => part.includes("place")) ?? "";
    return [
      ...(passing === "" ? [] : [{ kind: "passing" as const, text: passing }]),
      { kind: "output" as const, text: shown },
    ];
  });
  return lines.at(-1)?.text === "" ? lines.slice(0, -1) : lines;
}
