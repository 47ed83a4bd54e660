/**
 * What a provider service and the edge say to each other: `POST /provider/v1/sync`, with a bearer token of scope
 * `provider`. Level-triggered and idempotent: each side tells the whole of what it sees, so that a lost, repeated or
 * late call changes nothing. The edge decides which machines there should be; the service has them created and
 * returned.
 *
 * - The edge mints a machine's id. The service names the machine after it and has at most one create under way for it.
 *   After an answer that says nothing (a time-out, a cut connection, a 5xx) it reads the provider's list by name for
 *   `settleMs` before another try.
 * - A machine whose name says that it is one of this edge's and that isn't in `desired` is an orphan, and a second one
 *   of the same name a duplicate: both are returned at the next reconciliation, within 60 s, and counted.
 * - The edge holds a sync open for up to 25 s while its reply would be the one that is `known`. While nothing is there
 *   and nothing waits, it answers at once, so that nothing is kept awake: the service then asks again after
 *   `checkAgainMs`, or when its WebSocket (`GET /provider/v1/listen?provider=NAME`) says `changed`. Its text `ping` is
 *   answered by `pong`.
 * - `desired` is the whole, for this provider. A service that has no answer of the edge returns nothing.
 * - Keys may be added; whoever doesn't know one leaves it out.
 */
import * as z from "zod";
import { LaneNameSchema } from "./job.ts";

export const PROVIDER_PROTOCOL = 1;

const MACHINE_NAME_PREFIX = "edgeplane-";
const MAX_OFFERS = 500;
const MAX_MACHINES = 1000;

/** A hardware class, such as `cpu` or `nvidia-a100-80gb`: what is billed and placed alike. */
export const HardwareSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "must be 1 to 63 lower-case letters, digits, dots, hyphens or underscores");

/** Of one provider entry, such as `runpod-a`: an account at a provider. Unique in a deployment. */
export const ProviderNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be 1 to 63 lower-case letters, digits or hyphens");

/** `m` and 12 characters of the ids' alphabet, 60 random bits. */
export const MachineIdSchema = z.string().regex(/^m[0-9abcdefghjkmnpqrstvwxyz]{12}$/, "must be a machine's id");

const IdSchema = z.string().min(1).max(200);
const NanoSchema = z.int().nonnegative();
const CurrencySchema = z.string().regex(/^[A-Z]{3}$/, "must be three capital letters (ISO 4217)");
/** Milliseconds since the epoch, by the clock of whoever tells it. */
const TimeSchema = z.int().nonnegative();

export function machineName(machine: string): string {
  return `${MACHINE_NAME_PREFIX}${machine}`;
}

/** The id in a machine's name; null: it isn't one of this product's. */
export function machineOf(name: string): string | null {
  if (!name.startsWith(MACHINE_NAME_PREFIX)) return null;
  return MachineIdSchema.safeParse(name.slice(MACHINE_NAME_PREFIX.length)).data ?? null;
}

export const OfferSchema = z.object({
  /** As the provider names it: stands for the same kind of machine at each sync. */
  id: IdSchema,
  hardware: HardwareSchema,
  /** Cards of one machine; of `cpu`, 1. */
  devices: z.int().min(1).max(64),
  /** Of the whole machine, in billionths of `currency`. */
  pricePerHourNano: NanoSchema,
  currency: CurrencySchema,
  /** What is paid is rounded up to whole ones. */
  billingIncrementS: z.int().min(1).max(86_400),
  /** It may be taken away at any time. */
  spot: z.boolean(),
  zone: IdSchema.optional(),
  region: IdSchema.optional(),
  /** 0 to 1, by the provider's own measure. */
  reliability: z.number().min(0).max(1).optional(),
  /** The NVIDIA driver's version, such as `550.54`. */
  driver: z.string().max(64).optional(),
  downMbps: z.number().nonnegative().optional(),
  /** Which host it is, where a provider offers single hosts: one that failed is avoided. */
  host: IdSchema.optional(),
  /** How many machines of it can be had now; null: the provider doesn't say. */
  available: z.int().nonnegative().nullable(),
});
export type Offer = z.infer<typeof OfferSchema>;

export const ProviderMachineSchema = z.object({
  /** The edge's id, from the name; null: the name is none of this product's, and the edge leaves it alone. */
  machine: MachineIdSchema.nullable(),
  providerId: IdSchema,
  name: IdSchema,
  /** The offer that it was made from; null: the provider doesn't say. */
  offer: IdSchema.nullable(),
  state: z.enum(["creating", "booting", "running", "stopping"]),
  createdAtMs: TimeSchema,
  host: IdSchema.optional(),
  /** The provider takes it back in so many seconds. */
  noticeS: z.number().nonnegative().optional(),
});
export type ProviderMachine = z.infer<typeof ProviderMachineSchema>;

/** Why there is no machine. `ambiguous` and `timeout`: nobody knows yet whether there is one. */
export const refusalReasons = ["sold_out", "refused", "invalid", "ambiguous", "timeout"] as const;

export const RefusedSchema = z.object({
  machine: MachineIdSchema,
  reason: z.enum(refusalReasons),
  message: z.string().max(2000),
  retryAfterMs: z.int().nonnegative().optional(),
});
export type Refused = z.infer<typeof RefusedSchema>;

export const SyncRequestSchema = z.object({
  protocol: z.literal(PROVIDER_PROTOCOL),
  provider: ProviderNameSchema,
  kind: z.string().min(1).max(32),
  offers: z.array(OfferSchema).max(MAX_OFFERS),
  machines: z.array(ProviderMachineSchema).max(MAX_MACHINES),
  refused: z.array(RefusedSchema).max(MAX_MACHINES).default([]),
  /** Since the service started: what was returned because nobody wanted it, or because it was there twice. */
  orphansReturned: z.int().nonnegative().default(0),
  duplicatesReturned: z.int().nonnegative().default(0),
  /** From an order to the pool's hello, until the edge has seen some. */
  expectedBootS: z.number().positive().max(86_400).optional(),
  /** What the account at the provider has left. */
  balance: z.object({ nano: z.int(), currency: CurrencySchema }).optional(),
  /** `machines` is the provider's whole list, read just now: what it lacks is gone. */
  complete: z.boolean(),
  /** Why the provider can't be asked now, in a sentence. */
  problem: z.string().max(2000).optional(),
  /** The service's process: while it is heard, another one of this provider is refused (409). */
  instance: z.string().min(1).max(64).optional(),
  /** The process that it follows on the same machine, and takes the place of. */
  replaces: z.string().min(1).max(64).optional(),
  /** It ends: nothing more is to be expected of it. */
  isLeaving: z.boolean().optional(),
  /** The reply that the service has. Without it, or with another one, the edge answers at once. */
  known: z.string().max(64).optional(),
});
export type SyncRequest = z.infer<typeof SyncRequestSchema>;

export const DesiredMachineSchema = z.object({
  machine: MachineIdSchema,
  /** `gone`: to be returned. It stands here until a complete list lacks it. */
  state: z.enum(["running", "gone"]),
  /** What to make it from. */
  offer: IdSchema.optional(),
  hardware: HardwareSchema,
  name: IdSchema,
  /** What its pool signs in with: bound to this machine, and expiring. Only until the pool has connected. */
  poolToken: z.string().optional(),
  /** Where its pool connects to. */
  edgeUrl: z.string(),
  lanes: z.array(LaneNameSchema).max(64),
  /** Not before this time is it to be tried (again), by the edge's clock: `nowMs`. */
  notBeforeMs: TimeSchema.optional(),
});
export type DesiredMachine = z.infer<typeof DesiredMachineSchema>;

export const SyncReplySchema = z.object({
  known: z.string().max(64),
  /** The edge's clock. */
  nowMs: TimeSchema,
  desired: z.array(DesiredMachineSchema).max(MAX_MACHINES),
  /** When to sync again at the latest, though nothing changed. */
  checkAgainMs: z.int().positive(),
});
export type SyncReply = z.infer<typeof SyncReplySchema>;

/** What `GET /admin/v1/scaling/metrics/{hardware}` answers to who starts machines himself. */
export const WantedMachinesSchema = z
  .object({
    hardware: HardwareSchema,
    wanted: z.int().meta({ description: "Machines that there should be." }),
    there: z.int().meta({ description: "Those whose pool is connected." }),
    waiting: z.int().meta({ description: "Predictions of the class's models that wait, and that run." }),
    running: z.int(),
  })
  .meta({ id: "WantedMachines" });
