/** The services that a plugin may name in `needs`. It gets those, and no others. */
import type { AlertTarget, AllowanceService, CalendarPeriod } from "./allowance.ts";
import type { Json, ModelRef } from "../../src/contract/prediction.ts";
import type { Answer, PredictionCall, Principal, Reservation } from "./phases.ts";
import type { VerdictEvent } from "./verdict-events.ts";

/** Finds who a key belongs to. */
export type KeyDirectory = {
  /** False for a key that was never made here, told without the store. Throws when that can't be told. */
  mayExist(key: string): Promise<boolean>;
  /**
   * Looks a key up by its SHA-256 in hexadecimal, and when it expires (milliseconds since the epoch; null: never); null
   * when there is none, it was revoked, or it has expired. Throws when the store is away.
   */
  find(hash: string): Promise<{ principal: Principal; expiresAt: number | null } | null>;
};

/** Finds accounts. */
export type AccountDirectory = {
  /** By id or name; null when there is none. Throws when the store is away. */
  find(idOrName: string): Promise<Pick<Principal, "accountId" | "accountName" | "retentionMs" | "weight"> | null>;
};

/**
 * Keeps what is dear to make: what a plugin compiles of its settings is made once, when they are published, and read by
 * every isolate from then on.
 */
export type Artifacts = {
  /**
   * What is kept under `name`, or what `make` returns, which is kept from then on. `name` says all that it is made of,
   * such as a SHA-256 of the settings and the version of the format: 1 to 128 letters, digits, `.`, `_` and `-`.
   */
  get(name: string, make: () => Uint8Array | Promise<Uint8Array>): Promise<Uint8Array>;
};

/** The way to services of the operator's, or to public ones; never to private networks where it is deployed. */
export type Outbound = { fetch(url: string, init: OutboundInit): Promise<Response> };
export type OutboundInit = {
  method: string;
  headers: Record<string, string>;
  body?: string;
  signal: AbortSignal;
  redirect: "manual";
};

/** Secrets of the deployment whose names begin with `PLUGIN_`. */
export type PluginSecrets = {
  /** Throws when there is none of that name. */
  get(name: string): string;
};

export const budgetScopes = ["account", "key", "model"] as const;
export type BudgetScope = (typeof budgetScopes)[number];

/**
 * What may be spent, in nano-units of a currency: by an account, by one of its keys, or on a model by all accounts; or,
 * with `balance`, what the account has paid in. `subject` and `bucket` are where it is counted.
 */
export type Budget = {
  scope: BudgetScope;
  /** The account's or the model's name, or the key's id. */
  of: string;
  subject: string;
  bucket: string;
  period: CalendarPeriod | "balance";
  limitNano: number;
  currency: string;
  /** It refuses nothing, and only tells. */
  isSoft: boolean;
  /** What may be in flight counts at the most that it can cost. */
  isStrict: boolean;
  alert: AlertTarget | null;
  /** It is asked for a simulation: nobody is told. */
  isQuiet?: true;
};

export type BudgetDirectory = {
  /** Those that hold for a prediction of the caller with the model (`owner/name`). Ten seconds old at most. */
  of(principal: Principal, model: string): Promise<readonly Budget[]>;
};

/**
 * What a prediction that came now would find in its lane: how many wait of its version, of all accounts, and of its own
 * account in the lane; its place; in how many milliseconds it would start; how many start in a second; how many
 * milliseconds of its device a run takes. Null: nobody knows.
 */
export type LaneOutlook = {
  waiting: number;
  ownWaiting: number;
  position: number | null;
  etaMs: number | null;
  startsPerSecond: number | null;
  runMs: number | null;
};

export type LaneService = {
  /**
   * Half a second old at most. `room` says how many more the caller would let in by an outlook: a remembered one lets
   * in a quarter of them. Throws when the lane can't be reached.
   */
  outlook(
    call: Pick<PredictionCall, "lane" | "principal" | "priority" | "model">,
    room: (outlook: LaneOutlook) => number,
  ): Promise<LaneOutlook>;
};

/** Which model a plugin asks: `owner/name`, with `:version` one version of it, or an account's deployment of one. */
export type ModelReference = { model: string } | { deployment: string };

/** A model that a plugin may ask, as it is now. */
export type AskedModel = {
  ref: ModelRef;
  lane: string;
  /** How many of its processes always stand by, on each of its hosts. */
  minInstances: number;
  /** Whether its output comes in pieces. */
  iterates: boolean;
  /** Of its input; null: it never loaded, or takes any. */
  fields: readonly string[] | null;
};

/** One question to a model: a prediction of its own, that nobody can read, list or replay. */
export type ModelQuestion = {
  model: AskedModel;
  input: { [key: string]: Json };
  /** The plugin that asks. */
  plugin: string;
  /** Whose prediction it asks about: the question waits in this account's turn. */
  guarded: Pick<Principal, "accountId" | "weight">;
  /** The account that the question belongs to, and that it is counted for. */
  payer: string;
  timeoutMs: number;
};

/** Models of the operator's own pools. */
export type ModelService = {
  /** Null when there is none. Ten seconds old at most. Throws when the registry is away. */
  find(reference: ModelReference): Promise<AskedModel | null>;
  /** Models whose latest version waits in this lane, as `owner/name`: so many at most. For publishing. */
  onLane(lane: string, limit: number): Promise<string[]>;
  /** Its output. Throws when it did not succeed in time. */
  ask(question: ModelQuestion): Promise<Json>;
  /**
   * A picture that the output of the prediction `id` links to, as a data URI; null when `link` is none, or leads to
   * something else. Throws for one that is too large.
   */
  picture(id: string, link: string): Promise<string | null>;
};

/** Outputs of predictions that succeeded, each account's by themselves. */
export type ResponseStore = {
  /** What is remembered under `key`; null: nothing. Throws when that can't be told. */
  find(accountId: string, key: string): Promise<Answer | null>;
  /**
   * A reservation that remembers the prediction's output under `key` when it has succeeded. What a client removes of a
   * prediction is forgotten here, too.
   */
  remember(key: string, terms: ResponseTerms): Reservation;
};
/**
 * For how long at most, how many bytes one output may have as JSON, and how many the account's may have together, what
 * keeping them takes included.
 */
export type ResponseTerms = { ttlMs: number; maxBytes: number; accountBytes: number };

/** Where verdicts are told. */
export type AuditSink = {
  /** Notes an event, which leaves behind the answer. Never throws, and never waits; what can't be kept is counted. */
  note(event: VerdictEvent): void;
};

export type AuditService = {
  /** The topic `audit`, for whoever consumes it. */
  topic: AuditSink;
  /**
   * A receiver of the operator's, by its URL; `secret` (`whsec_…`) signs what it gets. Throws for an address that may
   * not be called, and a secret that is none.
   */
  receiver(url: string, secret: string): AuditSink;
};

/** Each by its name. Tests give a plugin those that it needs; src/settings/services.ts makes them of the bindings. */
export type Services = {
  keys: KeyDirectory;
  accounts: AccountDirectory;
  artifacts: Artifacts;
  allowance: AllowanceService;
  budgets: BudgetDirectory;
  lanes: LaneService;
  models: ModelService;
  responses: ResponseStore;
  audit: AuditService;
  outbound: Outbound;
  secrets: PluginSecrets;
};
export type ServiceName = keyof Services;
export const serviceNames = [
  "keys",
  "accounts",
  "artifacts",
  "allowance",
  "budgets",
  "lanes",
  "models",
  "responses",
  "audit",
  "outbound",
  "secrets",
] as const satisfies readonly ServiceName[];
