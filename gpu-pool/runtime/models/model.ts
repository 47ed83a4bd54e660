/** A model as the pool knows it before it ever ran. */
import type { Manifest } from "../../../src/contract/manifest.ts";
import type { ModelConfiguration } from "../../../src/contract/model-configuration.ts";
import type { BatchingOptions } from "../../scheduling/batching/batch-limits.ts";
import type { CostExpression } from "../../scheduling/batching/cost-expression.ts";
import type { IsolationKind } from "../isolation/types.ts";
import type { CogYaml } from "../environments/cog-yaml.ts";
import type { FolderKeys } from "./find-models.ts";

export type Model = {
  dir: string;
  /** Where pools keep notes on the folder. */
  notesDir: string;
  /** What the model itself wrote into its folder, which doesn't count for its version. */
  written: string[];
  /** What its folder says. */
  files: FolderKeys;
  /** The same, with what the edge says in place of its keys. */
  cog: CogYaml;
  /** What the edge says in place of the files. */
  configuration: ModelConfiguration;
  /** Why what the edge said last doesn't hold: what it said before does. */
  misconfigured?: string | undefined;
  /** As its files say it. `schema` and `streams` are filled in when it first loads. */
  manifest: Manifest;
  batching: BatchingOptions;
  /** What a prediction costs, by its inputs; null: all cost the same. */
  cost: CostExpression | null;
  /** Batches that one process runs at a time: `concurrency.max` of cog.yaml, else `@concurrent(max=N)`. */
  slotsPerInstance: number;
  usesGpu: boolean;
  placement: {
    /** The most processes; null means one a device, or a group of devices. */
    count: number | null;
    /** The devices that they may use; null means all. */
    devices: string[] | null;
    devicesPerInstance: number;
    /** What a process takes of each of its devices, by its author; null means that nobody said. */
    memoryHint: number | null;
    pinned: boolean;
  };
  /**
   * Brings what only its processes need and this host may not have yet; `say` hears how far that is. Answers files that
   * they may read and not change. Throws `Postponed` where this host can't have it for now.
   */
  complete?(say: (line: string) => void): Promise<string[]>;
  /**
   * It was pushed, and no pool has set it up yet. Until a process of it was ready the edge is not told its schema,
   * which would make the version live.
   */
  awaitsSetUp?: boolean;
  /** Why this host takes nothing of it for now; null or undefined where it does. */
  shortage?: string | null;
  /** How far its latest launch has come, and what was said on the way, newest last. */
  course?: { stage: "fetch" | "build" | "setup"; lines: string[] };
  /** What keeps its latest process from the pool's secrets; undefined before the first. */
  isolation?: IsolationKind;
  /** Where it runs, once that was prepared; while it is, what the builder said last. */
  environment?:
    | { progress: string }
    | { python: string; sizeBytes: number | null; isUnpacked: boolean; warnings: string[] };
};
