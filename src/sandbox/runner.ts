/** How the edge reaches an uploaded plugin, wherever its isolate is. */
import * as z from "zod";
import type { Phase } from "../../plugins/kernel/phases.ts";
import type { Json } from "../contract/prediction.ts";
import type { Upload } from "./manifest.ts";

/**
 * What one version is run with: `network` are the hosts that the operator granted it. `pushedBy`: the owner of the
 * pushed model that it came with; it takes no room from the operator's.
 */
export type Sandboxed = { upload: Upload; network: readonly string[]; pushedBy?: string };

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

/** An answer may be so much longer than what was asked: it is read no further. */
const ANSWER_TIMES = 4;
const ANSWER_MORE_BYTES = 1024 * 1024;

const AnswerSchema = z.union([z.object({ value: z.unknown() }).strict(), z.object({ error: z.string() })]);

/** What the isolate's HTTP call answers with. Throws `SandboxFault` with what the plugin did. */
export async function answerOf(
  response: { body: ReadableStream<Uint8Array> | null },
  askedChars: number,
): Promise<unknown> {
  const text = await textWithin(response.body, ANSWER_TIMES * askedChars + ANSWER_MORE_BYTES);
  const answer = AnswerSchema.parse(JSON.parse(text));
  if ("error" in answer) throw new SandboxFault(answer.error);
  return answer.value;
}

async function textWithin(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<string> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes += next.value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel();
      throw new SandboxFault(`it answered more than ${maxBytes} bytes`);
    }
    text += decoder.decode(next.value, { stream: true });
  }
  return text + decoder.decode();
}

export const HooksSchema = z.array(z.string().max(64)).max(64);

/** What `run` of the isolate answers: a hook's verdict as JSON text; a hook that returned nothing has none. */
export function verdictOf(text: unknown): unknown {
  if (typeof text !== "string") throw new SandboxFault("the hook returned nothing");
  return JSON.parse(text);
}
