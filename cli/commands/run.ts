/** `edgeplane run`: a model folder on this machine, through a whole local stack, with the child of production. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import * as z from "zod";
import type { Stack } from "../../scripts/lib/stack.ts";
import { createClient } from "../client.ts";
import type { Client } from "../client.ts";
import { parseOptions } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import type { Io } from "../io.ts";
import { createProgress, note } from "../output.ts";
import { predictThrough, PredictOptionsSchema, withPredictOptions } from "./predict.ts";
import type { PredictOptions } from "./predict.ts";

const OFFER_LIMIT_MS = 30_000;
const POLL_MS = 100;
/** Of what the stack said, where the model was not taken. */
const TOLD_LINES = 8;

/** As the pool says of a folder that is no model. */
const PASSED_OVER = "is not a model";

const ModelsSchema = z.object({ results: z.array(z.object({ name: z.string() })) });

export function addRun(program: Command, context: Context): void {
  withPredictOptions(
    program.command("run [folder]").description("run a model folder on this machine, without a gateway of your own"),
  )
    .option("-v, --verbose", "print what the parts of the stack say")
    .addHelpText(
      "after",
      "\nWhat the model needs is installed once, into ~/.cache/edgeplane (as root: /var/cache/edgeplane).\n\n  edgeplane run my-model -i text=Ada",
    )
    .action(async (folder: string | undefined, options: unknown) => {
      const isVerbose = typeof options === "object" && options !== null && "verbose" in options;
      await run(
        context,
        resolve(context.io.cwd, folder ?? "."),
        parseOptions(PredictOptionsSchema, options),
        isVerbose,
      );
    });
}

async function run(context: Context, folder: string, options: PredictOptions, isVerbose: boolean): Promise<void> {
  const io = finishing(context.io);
  if (!existsSync(join(folder, "cog.yaml")))
    throw new CliError(
      `${folder} has no cog.yaml`,
      exitCodes.usage,
      "`edgeplane init <folder>` writes a model that runs.",
    );
  const state = mkdtempSync(join(tmpdir(), "edgeplane-run-"));
  const model = { owner: "local", name: basename(folder), version: null };
  const progress = createProgress(io);
  const said: string[] = [];
  const say = (line: string): void => {
    said.push(line);
    if (isVerbose) note(io, line);
    else progress.say(line);
  };
  const interruption = new AbortController();
  const isInterrupted = (): boolean => interruption.signal.aborted;
  const forget = io.onInterrupt(() => interruption.abort());
  let stack: Stack | null = null;
  try {
    // Not sooner: what a stack is made of takes longer to load than most commands to run.
    const { startStack } = await import("../../scripts/lib/stack.ts");
    const models = linkModel(state, folder, model.name);
    stack = await startStack({ stateDir: state, models, say, signal: interruption.signal }).catch((error: unknown) => {
      throw isInterrupted() ? interrupted() : error;
    });
    const client = createClient({ url: stack.url, key: stack.apiKey, source: "the local stack" });
    await untilOffered(client, model.name, said, isInterrupted);
    await predictThrough(client, io, context.globals().json, model, options);
  } finally {
    progress.clear();
    await stack?.stop();
    forget();
    rmSync(state, { recursive: true, force: true });
  }
}

const interrupted = (): CliError => new CliError("interrupted", exitCodes.interrupted);

/** The same streams: a reader that is gone interrupts, too, for what was started must be stopped. */
function finishing(io: Io): Io {
  return {
    ...io,
    onInterrupt(listener) {
      const forgets = [io.onInterrupt(listener), io.onReaderGone(listener)];
      return () => {
        for (const forget of forgets) forget();
      };
    },
  };
}

/** The pool has told the gateway of the model. */
async function untilOffered(
  client: Client,
  name: string,
  said: readonly string[],
  isInterrupted: () => boolean,
): Promise<void> {
  for (const giveUpAt = performance.now() + OFFER_LIMIT_MS; ; await sleep(POLL_MS)) {
    if (isInterrupted()) throw interrupted();
    const { results } = await client.api(ModelsSchema, "GET", "/models", { query: { query: `local/${name}` } });
    if (results.some((model) => model.name === name)) return;
    const isPassedOver = said.some((line) => line.includes(PASSED_OVER));
    if (isPassedOver || performance.now() > giveUpAt)
      throw new CliError(`the pool did not take the model:\n${said.slice(-TOLD_LINES).join("\n")}`);
  }
}

/** A folder with this model only. */
function linkModel(state: string, folder: string, name: string): string {
  const models = join(state, "models");
  mkdirSync(models);
  symlinkSync(folder, join(models, name));
  return models;
}
