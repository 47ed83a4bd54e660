/** Files that a model put out: links of the gateway, and `data:` URIs. */
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Client } from "./client.ts";

const DATA_URI = /^data:([^;,]*)(;base64)?,/;
const EXTENSIONS: Readonly<Record<string, string>> = {
  "image/png": ".png",
  "image/jpeg": ".jpg",
  "image/webp": ".webp",
  "image/gif": ".gif",
  "audio/wav": ".wav",
  "audio/mpeg": ".mp3",
  "video/mp4": ".mp4",
  "application/json": ".json",
  "text/plain": ".txt",
};

/** Saves each file of an output into a folder, named `<id>-<n>` with its ending. Returns their paths, in order. */
export async function saveFiles(client: Client, id: string, output: unknown, folder: string): Promise<string[]> {
  const saved: string[] = [];
  for (const text of textsOf(output)) {
    const isLink = text.startsWith(`${client.url}/`);
    if (!isLink && !DATA_URI.test(text)) continue;
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${id}-${saved.length}${extensionOf(text)}`);
    if (isLink) await download(client, text, path);
    else writeFileSync(path, bytesOf(text));
    saved.push(path);
  }
  return saved;
}

function textsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (Array.isArray(value)) return value.flatMap(textsOf);
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsOf) : [];
}

async function download(client: Client, address: string, path: string): Promise<void> {
  const answer = await client.open("GET", address);
  if (answer.body !== null) await pipeline(Readable.fromWeb(answer.body), createWriteStream(path));
}

function bytesOf(uri: string): Buffer {
  const [head = "", , base64] = DATA_URI.exec(uri) ?? [];
  const rest = uri.slice(head.length);
  if (base64 !== undefined) return Buffer.from(rest, "base64");
  try {
    return Buffer.from(decodeURIComponent(rest));
  } catch {
    // A model that doesn't escape: what it wrote is what is saved.
    return Buffer.from(rest);
  }
}

function extensionOf(text: string): string {
  const [, type] = DATA_URI.exec(text) ?? [];
  if (type !== undefined) return EXTENSIONS[type] ?? "";
  const { pathname, searchParams } = new URL(text);
  return extname(searchParams.get("name") ?? pathname);
}
