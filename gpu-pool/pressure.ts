/**
 * What of this host runs short: its disk, the share of input files, the uplink. While it does, the pool takes nothing
 * that needs it, hands back what has not begun, and finishes what runs.
 */
import type { Logger } from "pino";
import { UploadBacklog } from "./delivery/upload-backlog.ts";
import { environmentsFolder } from "./runtime/environments/folder.ts";
import { makeSpaceFor } from "./runtime/environments/keeping.ts";
import { fileFields, isObject } from "./runtime/file-fields.ts";
import type { JsonObject } from "./runtime/file-fields.ts";
import { DiskWatch } from "./runtime/pressure/disk-watch.ts";
import { InputBudget } from "./runtime/pressure/input-budget.ts";
import type { Clock } from "./scheduling/clock.ts";
import type { Settings } from "./settings.ts";
import type { Json } from "../src/contract/prediction.ts";

export type PressureOptions = {
  clock: Clock;
  settings: Settings;
  /** Where inputs and outputs lie. */
  folder: string;
  /** Something runs short, or does no more. */
  onChange(): void;
  /** What was done about it. */
  log(line: string): void;
};

export class Pressure {
  readonly disk: DiskWatch;
  readonly inputs: InputBudget;
  readonly uploads: UploadBacklog;
  readonly #needs = new WeakMap<JsonObject, Needs>();

  constructor({ clock, settings, folder, onChange, log }: PressureOptions) {
    const leastBytes = settings["min-free-disk-bytes"];
    const environments = environmentsFolder(settings["environments-dir"], settings["state-dir"]);
    const makeSpace = (bytes: number): void => void makeSpaceFor(folder, environments, bytes, log);
    this.disk = new DiskWatch({ clock, folder, leastBytes, onChange, makeSpace });
    this.inputs = new InputBudget({ limitBytes: settings["max-pool-input-bytes"], onChange });
    this.uploads = new UploadBacklog({ limitBytes: settings["max-upload-backlog-bytes"], onChange });
  }

  /** Why nothing of a model with this signature is taken now; null when it is. One that never loaded has none. */
  shortage(schema: JsonObject | null): string | null {
    const needs = schema === null ? null : this.#needsOf(schema);
    const inputs = needs?.filesIn === true ? this.inputs.problem : null;
    const uploads = needs?.filesOut === true ? this.uploads.problem : null;
    return this.disk.problem ?? inputs ?? uploads;
  }

  /** What may run short, and whether it does now. */
  get shortages(): { what: string; problem: string | null }[] {
    return [
      { what: "disk", problem: this.disk.problem },
      { what: "inputs", problem: this.inputs.problem },
      { what: "uploads", problem: this.uploads.problem },
    ];
  }

  /** What runs short now, in words. */
  get problems(): string[] {
    return this.shortages.flatMap(({ problem }) => problem ?? []);
  }

  tell(log: Pick<Logger, "warn" | "info">): void {
    const { problems } = this;
    if (problems.length > 0) log.warn({ problems }, "this host runs short: takes less for now");
    else log.info("this host has what it needs again");
  }

  #needsOf(schema: JsonObject): Needs {
    const known = this.#needs.get(schema);
    if (known !== undefined) return known;
    const needs = { filesIn: fileFields(schema).size > 0, filesOut: !isPlain(outputOf(schema)) };
    this.#needs.set(schema, needs);
    return needs;
  }
}

/** Whether a model's inputs may be files, and its outputs. */
type Needs = { filesIn: boolean; filesOut: boolean };

function outputOf(schema: JsonObject): Json | undefined {
  let place: Json | undefined = schema;
  for (const key of ["components", "schemas", "Output"]) place = isObject(place) ? place[key] : undefined;
  return place;
}

/** By its schema it is text or numbers, or a list of them: nothing that is a file. */
function isPlain(output: Json | undefined): boolean {
  if (!isObject(output)) return false;
  const { type, format, items } = output;
  if (type === "array") return isPlain(items);
  return format !== "uri" && typeof type === "string" && type !== "object";
}
