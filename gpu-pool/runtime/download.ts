/**
 * Downloads a client's URL into a file. The address is checked when the connection is made, for every redirect again,
 * so that a name that resolves otherwise a second time gains nothing.
 */
import { lookup } from "node:dns";
import { createWriteStream } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { isIP } from "node:net";
import type { LookupFunction } from "node:net";
import { basename, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { mayFetchFrom } from "./public-address.ts";

export type DownloadRules = {
  allowLoopback: boolean;
  /** The edge's own origin, which may be private: files that clients uploaded there. */
  trustedOrigin: string;
  maxBytes: number;
  timeoutMs: number;
};

const MAX_REDIRECTS = 5;

/**
 * Fetches `url` into `folder` and returns the file's absolute path. Throws with a message for the client, which names
 * the input's field and not what the network looks like from here.
 */
export async function download(
  url: string,
  folder: string,
  number: number,
  field: string,
  rules: DownloadRules,
): Promise<string> {
  const signal = AbortSignal.timeout(rules.timeoutMs);
  let address: URL;
  try {
    address = new URL(url);
  } catch {
    throw new Error(`Input ${field}: this is not a valid URL.`);
  }
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const reply = await get(address, field, rules, signal);
    const status = reply.statusCode ?? 0;
    const { location } = reply.headers;
    if (status >= 300 && status < 400 && location !== undefined) {
      reply.destroy();
      address = new URL(location, address);
      continue;
    }
    if (status !== 200) {
      reply.destroy();
      throw new Error(`Input ${field}: its URL answered ${status}.`);
    }
    const path = join(folder, `${number}-${fileName(address)}`);
    await save(reply, path, field, rules.maxBytes, signal);
    return path;
  }
  throw new Error(`Input ${field}: its URL redirects more than ${MAX_REDIRECTS} times.`);
}

function get(address: URL, field: string, rules: DownloadRules, signal: AbortSignal): Promise<http.IncomingMessage> {
  if (address.protocol !== "http:" && address.protocol !== "https:") {
    throw new Error(`Input ${field}: a file is given as an http(s) URL or a data: URI.`);
  }
  const trusted = address.origin === rules.trustedOrigin;
  const allowed = (ip: string): boolean => trusted || mayFetchFrom(ip, rules.allowLoopback);
  const refusal = new Error(`Input ${field}: its URL does not lead to a public address.`);
  const host = address.hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) !== 0 && !allowed(host)) throw refusal;

  const checkedLookup: LookupFunction = (hostname, options, done) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) done(error, []);
      else if (found.some((entry) => !allowed(entry.address))) done(refusal, []);
      else if (options.all === true) done(null, found);
      else done(null, found[0]?.address ?? "", found[0]?.family ?? 4);
    });
  };
  return new Promise((resolve, reject) => {
    const transport = address.protocol === "https:" ? https : http;
    const request = transport.get(address, { lookup: checkedLookup, signal, agent: false }, resolve);
    request.once("error", (error) => {
      reject(
        error === refusal ? refusal : new Error(`Input ${field}: its URL could not be fetched.`, { cause: error }),
      );
    });
  });
}

async function save(
  reply: http.IncomingMessage,
  path: string,
  field: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<void> {
  let sizeBytes = 0;
  const tooLarge = new Error(`Input ${field}: the file is larger than ${maxBytes} bytes.`);
  const limit = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      done(sizeBytes > maxBytes ? tooLarge : null, chunk);
    },
  });
  try {
    await pipeline(reply, limit, createWriteStream(path, { mode: 0o600 }), { signal });
  } catch (error) {
    throw error === tooLarge ? tooLarge : new Error(`Input ${field}: its URL broke off.`, { cause: error });
  }
}

/** A model may look at the extension; nothing else of the name is the client's. */
function fileName(address: URL): string {
  const name = basename(decodeURIComponent(address.pathname.replaceAll("%2F", "_"))).replaceAll(/[^\w.-]/g, "_");
  return name.replace(/^\.+/, "_").slice(-100) || "file";
}
