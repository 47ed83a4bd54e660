/** `npm run plugin -- push`: uploads a version and, if asked, publishes settings that switch it on. */
import { existsSync, readFileSync } from "node:fs";
import * as z from "zod";
import type { Upload } from "../../../src/sandbox/manifest.ts";
import { PluginCommandError } from "./folder.ts";

export type Edge = { url: string; adminKey: string };

const DevSchema = z.object({ url: z.string(), adminKey: z.string() });
const UploadedSchema = z.object({ version: z.string() });

/** Where to push to: what was said, else the running local stack. Throws `PluginCommandError`. */
export function findEdge(url: string | undefined, adminKey: string | undefined, devFile: string): Edge {
  if (url !== undefined && adminKey !== undefined) return { url: url.replace(/\/+$/, ""), adminKey };
  if (url !== undefined || adminKey !== undefined)
    throw new PluginCommandError("Give both --url and --admin-key, or neither.");
  if (!existsSync(devFile)) {
    throw new PluginCommandError("No local stack is up: run `npm start`, or give --url and --admin-key.");
  }
  return DevSchema.parse(JSON.parse(readFileSync(devFile, "utf8")));
}

/** Uploads the version; answers it, and whether it was there already. */
export async function pushPlugin(edge: Edge, upload: Upload): Promise<{ version: string; isNew: boolean }> {
  const { status, body } = await call(edge, "POST", "/plugins", { manifest: upload.manifest, module: upload.code });
  return { version: UploadedSchema.parse(body).version, isNew: status === 201 };
}

async function call(
  { url, adminKey }: Edge,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: unknown }> {
  let answer: Response;
  try {
    answer = await fetch(`${url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw new PluginCommandError(`${url} can't be reached: ${error instanceof Error ? error.message : String(error)}`);
  }
  const text = await answer.text();
  if (answer.ok) return { status: answer.status, body: JSON.parse(text) };
  throw new PluginCommandError(`${url} refused (${answer.status}): ${problemOf(text)}`);
}

function problemOf(text: string): string {
  try {
    return z.object({ detail: z.string() }).parse(JSON.parse(text)).detail;
  } catch {
    return text.slice(0, 500);
  }
}
