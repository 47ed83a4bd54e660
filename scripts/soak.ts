/**
 * `npm run soak`: a stack of its own under a steady load, watched for what grows; `npm run soak -- --help` tells more.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";
import { machine, versions } from "../test/bench/lib/machine.ts";
import { helloThrough } from "./lib/hello.ts";
import { soak } from "./lib/soak/soak.ts";
import type { SoakReport } from "./lib/soak/soak.ts";
import { reportOf } from "./lib/soak/report.ts";
import { startReceiver } from "./lib/soak/receiver.ts";
import { openAccounts } from "./lib/soak/accounts.ts";
import { freePort } from "./lib/preflight.ts";
import { startStack } from "./lib/stack.ts";

const HELP = `Runs a stack of its own under a steady, mixed load, and fails when something drifts.

  npm run soak -- [--minutes 60] [--load 0.7] [--slack 1] [--verbose]

  --minutes   how long the load lasts, 3 to 10080 (default 60), and longer where something drifts. The first fifth is
              warm-up, 1.5 minutes at least and 10 at most
  --load      the share of what the stack can carry, 0.05 to 1, measured for 15 s before (default 0.7)
  --slack     fail only at so many times what counts as drift, 1 to 4 (default 1); what lies between is printed as an
              aim that is unmet
  --verbose   show what the processes of the stack say (default: off)

Every 15 s it samples resident memory and open handles of every process (after a collection of garbage), the disk,
throughput and latency. At the end it compares medians of the first and the last third after the warm-up, and the
latencies of the five accounts that share the load. docs/soak.md says what counts as drift.

If something drifted, the load goes on for as long as after the warm-up (2.5 minutes more of 4, 50 of 60), and that time
is judged by itself. What drifts both times fails; what drifts once is printed as a step. An operation that fails, or a
process that ends, makes the soak fail without a second look. Ctrl-C stops it.
Exit codes: 0 nothing drifted twice, 1 something did or an operation failed, 2 a setting is wrong, 130 stopped.`;

const OptionsSchema = z.object({
  minutes: z.coerce.number().min(3).max(10_080).default(60),
  load: z.coerce.number().min(0.05).max(1).default(0.7),
  slack: z.coerce.number().min(1).max(4).default(1),
});

type Options = z.output<typeof OptionsSchema> & { verbose: boolean };

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const read = readOptions(args);
  if (typeof read === "string") {
    const isHelp = read === HELP;
    (isHelp ? console.log : console.error)(isHelp ? HELP : `soak: ${read} (--help tells more)`);
    return isHelp ? 0 : 2;
  }
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopping.abort(signal));
  console.log(`machine: ${machine()}`);
  console.log(`versions: ${versions(["miniflare", "workerd"])}`);
  try {
    return await run(read, stopping.signal);
  } catch (error) {
    console.error(`soak: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

async function run(options: Options, signal: AbortSignal): Promise<number> {
  const report = await onOwnStack(options, signal);
  if (report === null) {
    console.log("soak: stopped before its time; nothing is judged.");
    return 130;
  }
  const { text, isGood } = reportOf(report, options.slack);
  console.log(text);
  return isGood ? 0 : 1;
}

async function onOwnStack(options: Options, signal: AbortSignal): Promise<SoakReport | null> {
  const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-soak-"));
  const receiver = await startReceiver();
  try {
    const [edgeInspector, poolInspector] = await Promise.all([freePort(0), freePort(0)]);
    const stack = await startStack({
      stateDir,
      offline: true,
      allowLoopback: true,
      inspectorPort: edgeInspector,
      poolEnv: { NODE_OPTIONS: `--inspect=127.0.0.1:${poolInspector}` },
      say: options.verbose ? console.log : () => {},
    });
    try {
      await helloThrough(stack);
      return await soak({
        stack,
        keys: await openAccounts(stack),
        stateDir,
        receiver,
        inspectorPorts: [edgeInspector, poolInspector],
        ...options,
        signal,
        say: console.log,
      });
    } finally {
      await stack.stop();
    }
  } finally {
    receiver.stop();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** The options; a text when there is only something to say. */
function readOptions(args: string[]): Options | string {
  try {
    const { values } = parseArgs({
      args,
      options: {
        minutes: { type: "string" },
        load: { type: "string" },
        slack: { type: "string" },
        verbose: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return HELP;
    const parsed = OptionsSchema.safeParse(values);
    if (parsed.success) return { ...parsed.data, verbose: values.verbose };
    const [issue] = parsed.error.issues;
    return `--${String(issue?.path[0])} is wrong: ${issue?.message}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
