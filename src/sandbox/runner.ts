/** How the edge reaches an uploaded plugin, wherever its isolate is. */
import * as z from "zod";
import type { Phase } from "../../plugins/kernel/phases.ts";
import type { Json } from "../contract/prediction.ts";
import type { Upload } from "./manifest.ts";

/** What one version is run with: `network` are the hosts that the operator granted it. */
export type Sandboxed = { upload: Upload; network: readonly string[] };

export type PluginRunner = {
  /** Loads the module. Throws `SandboxFault` with what keeps it from loading, or from being a plugin. */
  load(sandboxed: Sandboxed): Promise<void>;
  /** Sets the plugin up and answers the names of its hooks. Throws `SandboxFault` with what the plugin did. */
  start(sandboxed: Sandboxed, config: Json): Promise<string[]>;
  /** Runs one hook and answers what it returned, unchecked. Throws `SandboxFault`. */
  run(sandboxed: Sandboxed, request: { config: Json; phase: Phase; subject: unknown }): Promise<unknown>;
  /** Told when a hook was given up for its time: the isolate may be hung. */
  suspect(sandboxed: Sandboxed): Promise<void>;
};

/** An uploaded plugin could not be asked, or broke. The message is for operators, never for clients. */
export class SandboxFault extends Error {
  override readonly name = "SandboxFault";
}

export const HooksSchema = z.array(z.string().max(64)).max(64);

/** What `run` of the isolate answers: a hook's verdict as JSON text; a hook that returned nothing has none. */
export function verdictOf(text: unknown): unknown {
  if (typeof text !== "string") throw new SandboxFault("the hook returned nothing");
  return JSON.parse(text);
}
