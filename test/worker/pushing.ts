/** Pushes a model as the command does: its chunks, then the version that they make. */
import { bundleVersion, sha256Of } from "../../src/contract/bundle.ts";
import type { Bundle } from "../../src/contract/bundle.ts";
import { encodeFrames } from "../../src/contract/chunk-frames.ts";
import type { Env } from "../../src/env.ts";
import { call, callJson } from "./edge-harness.ts";

export const SCHEMA = { openapi: "3.0.2", components: { schemas: { Input: { type: "object" }, Output: {} } } };

/** Texts by path; a text that is longer than a chunk isn't for tests. */
export type Files = Record<string, string>;
type Pushing = { owner: string; name: string; key: string };

export async function bundleOf(
  files: Files,
): Promise<{ bundle: Bundle; contents: Map<string, Uint8Array<ArrayBuffer>> }> {
  const contents = new Map<string, Uint8Array<ArrayBuffer>>();
  const bundle: Bundle = { format: 1, files: [] };
  for (const [path, text] of Object.entries(files).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const content = new Uint8Array(new TextEncoder().encode(text));
    const sha256 = await sha256Of(content);
    if (content.length > 0) contents.set(sha256, content);
    bundle.files.push({ path, mode: 0o644, bytes: content.length, chunks: content.length === 0 ? [] : [sha256] });
  }
  return { bundle, contents };
}

export function pathOf({ owner, name }: Pick<Pushing, "owner" | "name">): string {
  return `/v1/models/${owner}/${name}`;
}

/** Sends the chunks that are missing. Answers the statuses. */
export async function sendChunks(model: Pushing, contents: Map<string, Uint8Array<ArrayBuffer>>): Promise<number> {
  const frames = [...contents].map(([sha256, content]) => ({ sha256, content }));
  const answer = await call(`${pathOf(model)}/chunks`, { key: model.key, body: encodeFrames(frames) });
  return answer.status;
}

/** Pushes `files`; `more` is of the body: `manifest`, `latest`. */
export async function push(
  model: Pushing,
  files: Files,
  more: { manifest?: object; latest?: boolean } = {},
  env: Partial<Env> = {},
) {
  const { bundle, contents } = await bundleOf(files);
  if (contents.size > 0) await sendChunks(model, contents);
  const body = { bundle, manifest: {}, ...more };
  const answer = await callJson(`${pathOf(model)}/versions`, { key: model.key, body, env });
  return { ...answer, version: await bundleVersion(bundle), chunks: [...contents.keys()] };
}
