/** What placement is decided from, and what comes of it. Times are monotonic milliseconds; memory is in bytes. */

export type PlacementDevice = {
  id: string;
  kind: "cuda" | "cpu";
  /** All that it has; null: not known, and then not bounded. */
  memoryBytes: number | null;
  /** What other programs of the host use of it. */
  foreignBytes: number;
  /** Why nothing new goes there; null when it may. */
  problem: string | null;
};

/** A model as its author wants it placed. */
export type ModelNeeds = {
  model: string;
  kind: PlacementDevice["kind"];
  /** The most instances on this host. */
  count: number;
  devicesPerInstance: number;
  /** The devices that it may use; null: all of its kind. */
  devices: readonly string[] | null;
  /** It is started at once, and never evicted. */
  pinned: boolean;
};

export type PlacementModel = ModelNeeds & {
  /** What an instance takes of each of its devices; null: nobody knows yet. */
  bytes: number | null;
  /** It takes more than this, whatever it takes: so much was not enough. */
  least: number;
  /** It ran out of memory beside others: it gets its devices whole. */
  alone: boolean;
  /** Devices on which it failed last: others that are free are taken before them. */
  failedOn?: ReadonlySet<string>;
  /** How many instances its work wants now. */
  wanted: number;
  /** Since when it wants more than it has. */
  wantedSinceMs: number;
  /** How many more could be started, as far as the model is concerned. */
  startable: number;
  /** What a load took lately; null before the first. */
  loadMs: number | null;
  /** Predictions a second, lately. */
  demand: number;
};

export type PlacedInstance = {
  id: string;
  model: string;
  devices: readonly string[];
  /** What it is taken to use of each of them. */
  bytes: number;
  /** `leaving`: it was told to end and still holds its memory. */
  state: "loading" | "idle" | "busy" | "leaving";
  readyAtMs: number;
  lastUsedMs: number;
};

export type Host = {
  devices: readonly PlacementDevice[];
  models: readonly PlacementModel[];
  instances: readonly PlacedInstance[];
};

export type Start = { model: string; devices: string[]; bytes: number };

export type Plan = {
  starts: Start[];
  /** Instances to end once they have finished what they run. */
  evictions: string[];
  /** Models that want an instance and get none now. */
  blocked: string[];
  /** When time alone may change the plan; Infinity when it doesn't. */
  lookAgainInMs: number;
};
