/** `edgeplane predictions`: look at what ran, cancel it, read its logs, run again what was lost. */
import type { Command } from "commander";
import * as z from "zod";
import type { Client } from "../client.ts";
import { parseOptions, segment } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { eventsOf } from "../events.ts";
import type { Io } from "../io.ts";
import { ago, note, printJson, printLine, printTable } from "../output.ts";
import { hasEnded, PredictionSchema } from "../prediction.ts";
import type { Prediction } from "../prediction.ts";

const ListOptionsSchema = z.object({
  model: z.string().optional(),
  status: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(20),
});
const PAGE = 100;
const PageSchema = z.object({ results: z.array(PredictionSchema), next: z.string().nullable() });
const ReplaysSchema = z.object({
  results: z.array(
    z.object({
      id: z.string(),
      outcome: z.string(),
      replayed_as: z.string().nullable(),
      detail: z.string().optional(),
    }),
  ),
});

export function addPredictions(program: Command, context: Context): void {
  const predictions = program
    .command("predictions")
    .description("list, show, cancel, and read the logs of predictions");
  predictions
    .command("list")
    .description("the newest predictions of the account")
    .option("--model <owner/name>", "of this model")
    .option("--status <status>", "starting, processing, succeeded, failed, canceled or aborted")
    .option("--limit <n>", "how many (default: 20)")
    .action(async (options: unknown) => list(context, parseOptions(ListOptionsSchema, options)));
  predictions
    .command("show <id>")
    .description("everything that is known of one")
    .action(async (id: string) => printJson(context.io, await read(context.client(), id)));
  predictions
    .command("cancel <id>")
    .description("end it, wherever it is")
    .action(async (id: string) => {
      const canceled = await context
        .client()
        .api(PredictionSchema, "POST", `/predictions/${segment(id)}/cancel`, { repeatable: true });
      if (context.globals().json) printJson(context.io, canceled);
      else printLine(context.io, `${canceled.id} ${canceled.status}`);
    });
  predictions
    .command("delete <id>")
    .description("remove the data of one that has ended: input, output, logs, files")
    .action(async (id: string) => {
      await context.client().api(z.null(), "DELETE", `/predictions/${segment(id)}`);
      note(context.io, `the data of ${id} is removed`);
    });
  predictions
    .command("logs <id>")
    .description("what the model printed")
    .option("-f, --follow", "until the prediction has ended")
    .action(async (id: string, options: { follow?: boolean }) =>
      logs(context.io, context.client(), id, options.follow === true),
    );
  predictions
    .command("replay <id...>")
    .description("run again what ended without an answer of its model (the operator's key)")
    .action(async (ids: string[]) => replay(context, ids));
}

async function list(context: Context, { model, status, limit }: z.infer<typeof ListOptionsSchema>): Promise<void> {
  const client = context.client();
  const found: Prediction[] = [];
  let page = await client.api(PageSchema, "GET", "/predictions", {
    query: { model, status, limit: Math.min(limit, PAGE) },
  });
  for (;;) {
    found.push(...page.results.slice(0, limit - found.length));
    if (page.next === null || found.length >= limit) break;
    page = await client.page(PageSchema, page.next);
  }
  if (context.globals().json) return printJson(context.io, found);
  const rows = found.map((one) => [one.id, one.model, one.status, ago(one.created_at), seconds(one), one.error]);
  return printTable(context.io, ["id", "model", "status", "created", "took", "error"], rows);
}

function seconds({ started_at: from, completed_at: to }: Prediction): string | null {
  if (from === null || from === undefined || to === null || to === undefined) return null;
  return `${((Date.parse(to) - Date.parse(from)) / 1000).toFixed(1)} s`;
}

async function read(client: Client, id: string): Promise<Prediction> {
  return client.api(PredictionSchema, "GET", `/predictions/${segment(id)}`);
}

async function logs(io: Io, client: Client, id: string, follow: boolean): Promise<void> {
  const now = await read(client, id);
  if (!follow || hasEnded(now)) {
    io.stdout.write(now.logs ?? "");
    return;
  }
  for await (const { event, data } of eventsOf(client, id))
    if (event === "logs") io.stdout.write(data.endsWith("\n") ? data : `${data}\n`);
}

async function replay(context: Context, ids: string[]): Promise<void> {
  const { results } = await context.client().admin(ReplaysSchema, "POST", "/dead-letters/replay", { body: { ids } });
  if (context.globals().json) printJson(context.io, results);
  else
    printTable(
      context.io,
      ["id", "outcome", "runs again as", "why not"],
      results.map((one) => [one.id, one.outcome, one.replayed_as, one.detail ?? null]),
    );
  const left = results.filter(({ outcome }) => outcome !== "created" && outcome !== "existing");
  if (left.length > 0) throw new CliError(`${left.length} of ${results.length} can't run again`);
}
