/**
 * A state folder as the release before this lane's left it when it was killed: `state-before-room.tgz`, with the models
 * that it ran. It was made by that release's own stack under load, and cut down: three predictions that run for long,
 * what was claimed ahead behind them (one without a start that was counted), a few that wait, those that lie released
 * in the log, and a few that have ended. Here its times become today's, and what waits is made many.
 */
import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { newPredictionId } from "../../../src/contract/ids.ts";

const archive = fileURLToPath(new URL("state-before-room.tgz", import.meta.url));
const HOUR_MS = 3_600_000;
/** What is stored as a time lies between these. */
const [OLDEST_MS, NEWEST_MS] = [1_700_000_000_000, 2_000_000_000_000];

const RowSchema = z.object({
  id: z.string(),
  state: z.string(),
  hands: z.number(),
  wake_at: z.number().nullable(),
  changing: z.string(),
  accepted: z.string(),
  input: z.string().nullable(),
});
type Row = z.infer<typeof RowSchema>;
const AcceptedSchema = z.looseObject({
  createdAt: z.number(),
  startBy: z.number(),
  fixed: z.looseObject({ model: z.object({ owner: z.string(), name: z.string(), version: z.string() }) }),
});
const ChangingSchema = z.looseObject({
  session: z.string().nullable(),
  token: z.string().nullable(),
  nextSeq: z.number(),
});

export type Claim = { id: string; session: string; token: string; nextSeq: number; state: string };
export type OldState = {
  stateDir: string;
  models: string;
  /** What was granted, running or not. */
  claims: Claim[];
  waiting: string[];
  /** How many predictions there are in each state now. */
  states(): Record<string, number>;
};

/** Unpacks it into `dir`, with `waiting` predictions in the lane's rows. */
export function openOldState(dir: string, waiting: number): OldState {
  execFileSync("tar", ["-xzf", archive, "-C", dir]);
  const objects = join(dir, "state/edge/do");
  const shardFile = only(objects, "edgeplane-PredictionShard");
  const shard = new DatabaseSync(shardFile);
  const laneDb = new DatabaseSync(only(objects, "edgeplane-Lane"));
  const rows = shard
    .prepare("SELECT * FROM prediction")
    .all()
    .map((row) => RowSchema.parse(row));
  const laterMs =
    Date.now() - Math.max(...rows.map(({ accepted }) => AcceptedSchema.parse(JSON.parse(accepted)).createdAt));
  shard.exec("BEGIN");
  for (const row of rows) moveOn(shard, row, laterMs);
  const ids = multiply(shard, laneDb, waiting);
  shard.exec("COMMIT");
  const claims = rows.flatMap(({ id, state, changing }) => {
    const { session, token, nextSeq } = ChangingSchema.parse(JSON.parse(changing));
    const isHeld = state === "running" || state === "granted";
    return isHeld && session !== null && token !== null ? [{ id, session, token, nextSeq, state }] : [];
  });
  shard.close();
  laneDb.close();
  return {
    stateDir: join(dir, "state"),
    models: join(dir, "models"),
    claims,
    waiting: ids,
    states: () => statesIn(shardFile),
  };
}

function only(objects: string, name: string): string {
  const [file] = globSync(join(objects, name, "*.sqlite")).filter((path) => !path.endsWith("metadata.sqlite"));
  if (file === undefined) throw new Error(`there is no ${name}`);
  return file;
}

function moveOn(shard: DatabaseSync, row: Row, laterMs: number): void {
  shard
    .prepare("UPDATE prediction SET wake_at = ?, changing = ?, accepted = ? WHERE id = ?")
    .run(
      row.wake_at === null ? null : row.wake_at + laterMs,
      later(row.changing, laterMs),
      later(row.accepted, laterMs),
      row.id,
    );
}

function later(json: string, laterMs: number): string {
  return JSON.stringify(
    JSON.parse(json, (_key, value: unknown) =>
      typeof value === "number" && value > OLDEST_MS && value < NEWEST_MS ? value + laterMs : value,
    ),
  );
}

/**
 * Makes so many of a prediction that waits, of the model that takes batches: swept before, so that their next sweep is
 * an hour off.
 */
function multiply(shard: DatabaseSync, lane: DatabaseSync, count: number): string[] {
  const one = (where: string): Row =>
    RowSchema.parse(shard.prepare(`SELECT * FROM prediction WHERE ${where} LIMIT 1`).get());
  const waits = one("state = 'waiting'");
  const ended = one("state = 'succeeded' AND accepted ->> '$.fixed.model.name' = 'echo'");
  const accepted = AcceptedSchema.parse(JSON.parse(waits.accepted));
  const { model } = AcceptedSchema.parse(JSON.parse(ended.accepted)).fixed;
  const stored = JSON.stringify({ ...accepted, fixed: { ...accepted.fixed, model } });
  const handAt = Date.now() + HOUR_MS / 2;
  const changing = JSON.stringify({ ...ChangingSchema.parse(JSON.parse(waits.changing)), handAt });
  const insert = shard.prepare(
    "INSERT INTO prediction (id, state, hands, fed, wake_at, changing, accepted, input) VALUES (?, 'waiting', 2, 1, ?, ?, ?, ?)",
  );
  const offer = lane.prepare("INSERT INTO entry VALUES ('normal', ?, ?, ?)");
  lane.exec("BEGIN; DELETE FROM entry");
  const ids = Array.from({ length: count }, (_, index) => {
    const id = newPredictionId(1);
    insert.run(id, handAt, changing, stored, JSON.stringify({ key: id, number: index }));
    const entry = {
      id,
      tenant: "t",
      priority: "normal",
      cost: 1,
      model: `${model.owner}/${model.name}`,
      version: model.version,
    };
    offer.run(index + 1, id, JSON.stringify({ ...entry, startBy: accepted.startBy, traceparent: null, front: false }));
    return id;
  });
  lane.exec("COMMIT");
  return ids;
}

function statesIn(shardFile: string): Record<string, number> {
  const shard = new DatabaseSync(shardFile, { readOnly: true });
  const rows = shard.prepare("SELECT state, COUNT(*) AS count FROM prediction GROUP BY state").all();
  shard.close();
  return Object.fromEntries(rows.map(({ state, count }) => [String(state), Number(count)]));
}
