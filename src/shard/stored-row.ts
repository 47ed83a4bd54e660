/**
 * A prediction's row as it is stored. What is searched for has a column of its own; what is only carried along is
 * packed: reading a column costs as much as parsing a small object, and a prediction is read or written three times in
 * its life.
 *
 * What is as usual is left out. SQLite gives a row above 1,002 bytes a page of its own, which each write of the row
 * writes again; a usual row takes half of that.
 */
import type { HeldReservation } from "../../plugins/kernel/reservations.ts";
import type { Json, WebhookEvent } from "../contract/prediction.ts";
import { isFinished, states } from "./row.ts";
import type { Fixed, Row, State } from "./row.ts";
import type { SqlRow, SqlValue } from "./sql.ts";
import { packUsage, unpackUsage } from "./usage.ts";
import type { PackedUsage } from "./usage.ts";
import { packPricing, unpackPricing } from "./packed-pricing.ts";
import type { PackedPricing } from "./packed-pricing.ts";

/** What acceptance fixes. */
type Accepted = Pick<Row, "accountId" | "fixed" | "payloadHash" | "createdAt" | "startBy" | "endBy" | "endAs">;
/** What changes, but for output and logs: those are written once, at the end. */
type Changing = Omit<
  Row,
  keyof Accepted | "id" | "input" | "state" | "hands" | "fed" | "wakeAt" | "output" | "logs" | "reservations"
>;
type Stored = Omit<Changing, "usage"> & { usage?: PackedUsage[] };
type Sparse<T> = { [Field in keyof T]: T[Field] | undefined };
type StoredFixed = Omit<Fixed, "pricing"> & { pricing?: PackedPricing };
type SparseAccepted = Sparse<Omit<Accepted, "fixed">> & { fixed: Sparse<StoredFixed> };

const usualEvents: WebhookEvent[] = ["start", "output", "logs", "completed"];
const usuallyFixed = {
  cost: 1,
  weight: 1,
  webhook: null,
  webhookEvents: usualEvents,
  stream: false,
  iterates: false,
  traceparent: null,
  replayOf: null,
  deployment: null,
  resumesDeterministically: false,
  retentionMs: null,
  keyed: false,
} satisfies Partial<Fixed>;
const usuallyAccepted = { payloadHash: "", endAs: "failed" } satisfies Partial<Accepted>;
const usuallyChanging = {
  inputBlob: null,
  startedAt: null,
  completedAt: null,
  attempt: 0,
  losses: 0,
  handBacks: 0,
  token: null,
  session: null,
  nextSeq: 0,
  chunks: 0,
  skip: 0,
  lastFrame: 0,
  shown: false,
  outputBlob: null,
  error: null,
  handAt: null,
  checkAt: null,
  endSeq: null,
  blobs: false,
  strays: false,
  retired: false,
} satisfies Partial<Changing>;

export function acceptedOf({ accountId, fixed, payloadHash, createdAt, startBy, endBy, endAs }: Row): string {
  return JSON.stringify({
    accountId,
    fixed: {
      model: fixed.model,
      lane: fixed.lane,
      priority: fixed.priority,
      cost: fixed.cost === 1 ? undefined : fixed.cost,
      weight: fixed.weight === 1 ? undefined : fixed.weight,
      origin: fixed.origin,
      webhook: fixed.webhook ?? undefined,
      webhookEvents: fixed.webhookEvents.join() === usualEvents.join() ? undefined : fixed.webhookEvents,
      stream: fixed.stream || undefined,
      iterates: fixed.iterates === true || undefined,
      source: fixed.source,
      traceparent: fixed.traceparent ?? undefined,
      replayOf: fixed.replayOf ?? undefined,
      deployment: fixed.deployment ?? undefined,
      runLimitMs: fixed.runLimitMs,
      resumesDeterministically: fixed.resumesDeterministically || undefined,
      retentionMs: fixed.retentionMs ?? undefined,
      keyed: fixed.keyed || undefined,
      question: fixed.question,
      responseKey: fixed.responseKey,
      canary: fixed.canary,
      credentialId: fixed.credentialId,
      pricing: fixed.pricing === undefined ? undefined : packPricing(fixed.pricing),
      isGuarded: fixed.isGuarded,
    },
    payloadHash: payloadHash || undefined,
    createdAt,
    startBy,
    endBy,
    endAs: endAs === "failed" ? undefined : endAs,
  } satisfies SparseAccepted);
}

export function changingOf(row: Row): string {
  return JSON.stringify({
    inputBlob: row.inputBlob ?? undefined,
    startedAt: row.startedAt ?? undefined,
    completedAt: row.completedAt ?? undefined,
    attempt: row.attempt || undefined,
    losses: row.losses || undefined,
    hasCrashed: row.hasCrashed,
    handBacks: row.handBacks || undefined,
    token: row.token ?? undefined,
    session: (mayBeCalled(row) ? row.session : null) ?? undefined,
    nextSeq: row.nextSeq || undefined,
    chunks: row.chunks || undefined,
    skip: row.skip || undefined,
    lastFrame: row.lastFrame || undefined,
    shown: row.shown || undefined,
    outputBlob: row.outputBlob ?? undefined,
    error: row.error ?? undefined,
    metrics: Object.keys(row.metrics).length === 0 ? undefined : row.metrics,
    handAt: row.handAt ?? undefined,
    checkAt: row.checkAt ?? undefined,
    endSeq: row.endSeq ?? undefined,
    blobs: row.blobs || undefined,
    strays: row.strays || undefined,
    retired: row.retired || undefined,
    verdicts: row.verdicts,
    held: row.held,
    attemptAt: row.attemptAt,
    hasSpoken: row.hasSpoken,
    costNano: row.costNano,
    usage: row.usage?.map((entry) => packUsage(entry, row.createdAt)),
    earlier: row.earlier,
    isTallied: row.isTallied,
  } satisfies Sparse<Stored>);
}

/** Nobody asks for the session of what has ended, but to have it stopped, or to hear what it took. */
function mayBeCalled({ state, checkAt }: Row): boolean {
  return !isFinished(state) || checkAt !== null;
}

/** Rows are written by this module alone, so that what is read back needs no second check of its shape. */
export function rowFrom(stored: SqlRow): Row {
  const column = (name: string): SqlValue => stored[name] ?? null;
  const wakeAt = column("wake_at");
  const accepted = JSON.parse(text(column("accepted"))) as Omit<Accepted, "fixed"> & { fixed: StoredFixed };
  const { pricing, ...fixed } = accepted.fixed;
  const { usage, ...changing } = JSON.parse(text(column("changing"))) as Partial<Stored>;
  return {
    // What a run measures is put into it: it is each row's own.
    metrics: {},
    ...usuallyAccepted,
    ...accepted,
    fixed: { ...usuallyFixed, ...fixed, ...(pricing === undefined ? {} : { pricing: unpackPricing(pricing) }) },
    ...usuallyChanging,
    ...changing,
    ...(usage === undefined ? {} : { usage: usage.map((packed) => unpackUsage(packed, accepted.createdAt)) }),
    id: text(column("id")),
    state: stateFrom(column("state")),
    hands: Number(column("hands")),
    fed: column("fed") === 1,
    wakeAt: wakeAt === null ? null : Number(wakeAt),
    input: parse<Json>(column("input")),
    output: parse<Json>(column("output")),
    logs: text(column("logs")),
    reservations: parse<HeldReservation[]>(column("reservations")),
  };
}

export function stateFrom(value: SqlValue): State {
  const state = states.find((name) => name === value);
  if (state === undefined) throw new Error(`a prediction is stored in the unknown state ${String(value)}`);
  return state;
}

export function parse<T>(value: SqlValue): T | null {
  return value === null ? null : (JSON.parse(String(value)) as T);
}

export function textOf(value: Json): string | null {
  return value === null ? null : JSON.stringify(value);
}

export function text(value: SqlValue): string {
  return value === null ? "" : String(value);
}
