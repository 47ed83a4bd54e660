/**
 * Screens the events of one claim, one after the other: each chunk is judged with what plugins held behind the one
 * before. What they hold when the model has ended goes out with its last event.
 */
import type { OutputPart } from "../../../plugins/kernel/phases.ts";
import type { Hooks } from "../../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { PoolEvent } from "../../contract/event.ts";
import type { Json } from "../../contract/prediction.ts";
import type { VerdictRecord } from "../../contract/verdict.ts";
import { newTrail, runPhase } from "../../pipeline/run-phase.ts";
import { outputBlobPrefix } from "../../storage/blobs.ts";
import type { HeldStates, Screened, ScreenedEvent } from "../../shard/types.ts";

/** Where the screening of a claim stands: the seq that comes next, and what plugins hold. `isOver`: it was refused. */
export type Standing = { nextSeq: number; held: HeldStates | null; isOver: boolean };
export type ClaimScreening = { events: ScreenedEvent[]; standing: Standing };
/** What models left in object storage. Throws `guard_unavailable` for what is too large to be screened. */
export type LargeOutputs = {
  /** The value of an output that is stored apart; null: there is none. */
  read(key: string): Promise<Json>;
  write(key: string, output: Json): Promise<void>;
  /** The text of a file; null: it is none, or holds none. */
  readText(key: string): Promise<string | null>;
  writeText(key: string, text: string): Promise<void>;
};

const OUTPUT_LINKS = "/v1/outputs";

/** Of all that plugins hold of a prediction: it is stored with its row. */
const MAX_HELD_CHARS = 256 * 1024;

type Of = "output" | "logs" | "error";

/**
 * Events that the shard has had, or that come behind a gap, are handed on as they are, marked: it takes none of them.
 */
export async function screenClaim(
  hooks: Hooks,
  claim: Pick<Screened, "id" | "accountId" | "model">,
  events: readonly PoolEvent[],
  standing: Standing,
  large: LargeOutputs,
): Promise<ClaimScreening> {
  const screened: ScreenedEvent[] = [];
  let { nextSeq, isOver } = standing;
  let states = statesOf(standing.held);
  for (const event of events) {
    if (isOver || event.seq !== nextSeq) {
      screened.push({ ...event, unscreened: true });
      continue;
    }
    nextSeq += 1;
    if (event.type === "starting") states = statesOf(null);
    const verdicts: VerdictRecord[] = [];
    const run = async (of: Of, part: OutputPart["part"], output: Json): Promise<Json> => {
      const { id: predictionId, accountId, model } = claim;
      const trail = { ...newTrail(), verdicts, ...(part === "whole" || of === "error" ? {} : { states: states[of] }) };
      const subject = { predictionId, accountId, model, of, part, output, held: null };
      return (await runPhase(hooks, "screenOutput", subject, trail)).output;
    };
    try {
      await screenFiles(event, run, large);
      const passed = await pass(event, states, run, large);
      refuseTooMuch(states);
      screened.push(verdicts.length === 0 ? passed : { ...passed, verdicts });
    } catch (error) {
      if (!(error instanceof EdgeplaneError)) throw error;
      isOver = true;
      screened.push({ ...refused(event, error), verdicts });
    }
  }
  return { events: screened, standing: { nextSeq, held: heldOf(states), isOver } };
}

type States = { output: Map<string, string>; logs: Map<string, string> };
type Run = (of: Of, part: OutputPart["part"], output: Json) => Promise<Json>;

async function pass(event: PoolEvent, states: States, run: Run, large: LargeOutputs): Promise<ScreenedEvent> {
  const holding = () => ({ held: heldOf(states) });
  switch (event.type) {
    case "output":
      return { ...event, chunk: await run("output", "chunk", event.chunk), ...holding() };
    case "log":
      return { ...event, text: textOf(await run("logs", "chunk", event.text)), ...holding() };
    case "succeeded": {
      const tail = await tailOf(states, run);
      if (event.outputBlob !== undefined) await screenLarge(event.outputBlob, run, large);
      if (event.output === undefined) return { ...event, ...tail };
      return { ...event, output: await run("output", "whole", event.output), ...tail };
    }
    case "failed": {
      // After a crash it may run again, and say it all anew.
      const tail = event.kind === "crash" ? {} : await tailOf(states, run);
      const message = textOf(await run("error", "whole", event.error.message));
      return { ...event, error: { ...event.error, message }, ...tail };
    }
    default:
      return event;
  }
}

/** The files that a piece of output links to: before anybody has the link. */
async function screenFiles(event: PoolEvent, run: Run, large: LargeOutputs): Promise<void> {
  const output = event.type === "output" ? event.chunk : event.type === "succeeded" ? event.output : undefined;
  for (const key of output === undefined ? [] : filesIn(event.id, output)) {
    const text = await large.readText(key);
    if (text === null) continue;
    const screened = textOf(await run("output", "whole", text));
    if (screened !== text) await large.writeText(key, screened);
  }
}

/** Keys of the prediction's files that `output` links to, each once. */
function filesIn(id: string, output: Json): Set<string> {
  const text = JSON.stringify(output);
  if (!text.includes(`${OUTPUT_LINKS}/${id}/`)) return new Set();
  const links = text.matchAll(/\/v1\/outputs\/([^/?"]+)\/([^/?"]+)\/([^/?"]+)/g);
  const own = [...links].filter(([, of]) => of === id);
  return new Set(own.map(([, , token = "", blob = ""]) => `${outputBlobPrefix(id, token)}${blob}`));
}

async function screenLarge(key: string, run: Run, large: LargeOutputs): Promise<void> {
  const output = await large.read(key);
  const screened = await run("output", "whole", output);
  if (screened !== output) await large.write(key, screened);
}

/** What plugins give up that they hold, if any does. */
async function tailOf(states: States, run: Run): Promise<Pick<ScreenedEvent, "tail">> {
  if (states.output.size === 0 && states.logs.size === 0) return {};
  const output = states.output.size === 0 ? null : await run("output", "end", null);
  const logs = states.logs.size === 0 ? null : await run("logs", "end", null);
  return { tail: { output, logs: logs === null ? "" : textOf(logs) } };
}

function refuseTooMuch({ output, logs }: States): void {
  let chars = 0;
  for (const held of [...output.values(), ...logs.values()]) chars += held.length;
  if (chars <= MAX_HELD_CHARS) return;
  throw new EdgeplaneError("guard_unavailable", "The plugins hold back more of the output than can be kept.");
}

/** What was held back goes nowhere. An end brings what the run took, all the same. */
function refused(event: PoolEvent, { code, message }: EdgeplaneError): ScreenedEvent {
  const { id, token, seq } = event;
  const usage = "usage" in event ? event.usage : undefined;
  return { id, token, seq, type: "failed", kind: "model", error: { code, message }, usage };
}

function statesOf(held: HeldStates | null): States {
  return { output: new Map(Object.entries(held?.output ?? {})), logs: new Map(Object.entries(held?.logs ?? {})) };
}

function heldOf({ output, logs }: States): HeldStates | null {
  if (output.size === 0 && logs.size === 0) return null;
  return { output: Object.fromEntries(output), logs: Object.fromEntries(logs) };
}

function textOf(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
