/** `edgeplane doctor`: looks at an installation end to end, and says what to mend. */
import type { Command } from "commander";
import * as z from "zod";
import type { Client } from "../client.ts";
import type { Connection } from "../config.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes, messageOf } from "../errors.ts";
import { readInput } from "../inputs.ts";
import { createProgress, printJson, printLine } from "../output.ts";
import { PredictionSchema } from "../prediction.ts";
import { AccountSchema } from "./login.ts";
import { checkPools } from "./pools.ts";
import { checkSettings } from "./settings.ts";

const MAX_SKEW_MS = 30_000;
const LOOK_LIMIT_MS = 10_000;
const WAIT_S = 30;
const HELLO = "hello-world";
const HELLO_INPUT = '{"text":"doctor"}';

type Finding = { check: string; state: "good" | "bad" | "left out"; detail: string; remedy: string | null };

const HealthSchema = z.object({ status: z.literal("ok") });
const GatewaySchema = z.looseObject({ name: z.literal("edgeplane") });
const HardwareSchema = z.array(z.looseObject({ name: z.string() }));
const ModelSchema = z.object({
  owner: z.string(),
  name: z.string(),
  latest_version: z.object({ id: z.string(), schema_known: z.boolean() }).nullable(),
});
const ModelsSchema = z.object({ results: z.array(ModelSchema) });

export function addDoctor(program: Command, context: Context): void {
  program
    .command("doctor")
    .description("check an installation end to end, and say what to mend")
    .option("--model <owner/name>", `the model to run (default: ${HELLO}, where it is offered)`)
    .option("--input-json <json>", "its input (default: {})")
    .action(async (options: DoctorOptions) => examine(context, options));
}

type DoctorOptions = { model?: string; inputJson?: string };

async function examine(context: Context, options: DoctorOptions): Promise<void> {
  const { io } = context;
  const progress = createProgress(io);
  const findings: Finding[] = [];
  const check = async (name: string, look: () => Promise<string | null>): Promise<boolean> => {
    progress.say(`${name} …`);
    const finding = await look().then(
      (detail): Finding => ({
        check: name,
        state: detail === null ? "left out" : "good",
        detail: detail ?? "",
        remedy: null,
      }),
      (error: unknown): Finding => ({
        check: name,
        state: "bad",
        detail: messageOf(error),
        remedy: error instanceof CliError ? error.remedy : null,
      }),
    );
    findings.push(finding);
    progress.clear();
    if (!context.globals().json) printFinding(context, finding);
    return finding.state !== "bad";
  };

  const connection = context.connection();
  const client = context.client();
  if (await check("the gateway answers", async () => gateway(connection))) {
    await check("the clocks agree", async () => clocks(connection));
    const isKnown = await check("the API key is valid", async () => account(client, connection));
    const isOperator = await check("the operator's key is valid", async () => operator(client, connection));
    if (isOperator && connection.adminKey !== undefined) {
      await check("the settings are of this release", async () => checkSettings(context));
      await check("pools and their models are well", async () => sickPools(context));
    }
    if (isKnown && connection.key !== undefined) {
      await check("pools have come", async () => pools(client));
      await check("a prediction runs", async () => predict(context, client, options));
    }
  }
  if (context.globals().json) printJson(io, findings);
  const bad = findings.filter(({ state }) => state === "bad").length;
  if (bad > 0) throw new CliError(`${bad} of ${findings.length} checks are bad`);
}

function printFinding({ io }: Context, { check, state, detail, remedy }: Finding): void {
  printLine(
    io,
    `${state === "good" ? "✓" : state === "bad" ? "✗" : "–"} ${check}${detail === "" ? "" : `: ${detail}`}`,
  );
  if (remedy !== null) printLine(io, `  → ${remedy}`);
}

async function gateway({ url, source }: Connection): Promise<string> {
  const read = async (path: string): Promise<unknown> => {
    const answer = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(LOOK_LIMIT_MS) });
    return answer.json();
  };
  try {
    GatewaySchema.parse(await read("/"));
    HealthSchema.parse(await read("/healthz"));
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const why =
      error instanceof z.ZodError || error instanceof SyntaxError
        ? "what answers is no gateway of Edgeplane"
        : messageOf(cause);
    throw new CliError(
      `${url} (by ${source}): ${why}`,
      exitCodes.unreachable,
      "Check the address, and that `npm start` or the deployment is up.",
    );
  }
  return `${url}, by ${source}`;
}

/** Signed links and expiry times compare clocks. */
async function clocks({ url }: Connection): Promise<string | null> {
  const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(LOOK_LIMIT_MS) });
  await answer.body?.cancel();
  const date = answer.headers.get("date");
  if (date === null) return null;
  const skewMs = Math.abs(Date.now() - Date.parse(date));
  if (skewMs > MAX_SKEW_MS)
    throw new CliError(
      `this machine and the gateway are ${Math.round(skewMs / 1000)} s apart`,
      exitCodes.failed,
      "Switch time synchronization (NTP) on.",
    );
  return `${Math.round(skewMs / 1000)} s apart`;
}

async function account(client: Client, { key }: Connection): Promise<string | null> {
  if (key === undefined) return null;
  const { username } = await client.api(AccountSchema, "GET", "/account");
  return `account ${username}`;
}

async function operator(client: Client, { adminKey }: Connection): Promise<string | null> {
  if (adminKey === undefined) return null;
  await client.admin(z.unknown(), "GET", "/accounts", { query: { limit: 1 } });
  return "";
}

async function pools(client: Client): Promise<string> {
  const hardware = await client.api(HardwareSchema, "GET", "/hardware");
  if (hardware.length === 0)
    throw new CliError(
      "none ever connected",
      exitCodes.failed,
      "Start one: docs/gpu-pool.md. A token: `edgeplane pool-tokens create <name>`.",
    );
  return hardware.map(({ name }) => name).join(", ");
}

/** A gateway of the release before has no such list. */
async function sickPools(context: Context): Promise<string | null> {
  try {
    return await checkPools(context);
  } catch (error) {
    if (error instanceof CliError && error.exitCode === exitCodes.notFound) return null;
    throw error;
  }
}

async function predict(
  context: Context,
  client: Client,
  { model: wanted, inputJson }: DoctorOptions,
): Promise<string | null> {
  const model = wanted ?? (await findHello(client));
  if (model === null) return null;
  const json = inputJson ?? (wanted === undefined ? HELLO_INPUT : "{}");
  const input = await readInput(context.io, client, { pairs: [], json, schema: null });
  const startedAt = performance.now();
  const prediction = await client.api(PredictionSchema, "POST", `/models/${model}/predictions`, {
    body: { input, cancel_on_disconnect: true },
    headers: { prefer: `wait=${WAIT_S}` },
  });
  if (prediction.status === "succeeded")
    return `${model} answered after ${Math.round(performance.now() - startedAt)} ms`;
  if (prediction.status === "starting" || prediction.status === "processing") {
    await client.api(PredictionSchema, "POST", `/predictions/${prediction.id}/cancel`);
    throw new CliError(
      `${model} did not end within ${WAIT_S} s (${prediction.status})`,
      exitCodes.failed,
      "Is a pool up that offers it? Its log says why it doesn't connect, or what the model waits for.",
    );
  }
  throw new CliError(
    `${model} ${prediction.status}: ${prediction.error ?? ""}`,
    exitCodes.failed,
    `\`edgeplane predictions show ${prediction.id}\` has the logs.`,
  );
}

async function findHello(client: Client): Promise<string | null> {
  const { results } = await client.api(ModelsSchema, "GET", "/models", { query: { query: HELLO } });
  const found = results.find(({ name, latest_version: latest }) => name === HELLO && latest !== null);
  return found === undefined ? null : `${found.owner}/${found.name}`;
}
