/**
 * Downloads a client's URL into a file. The address is checked when the connection is made, for every redirect again,
 * so that a name that resolves otherwise a second time gains nothing.
 */
import { lookup } from "node:dns";
import type { LookupAddress } from "node:dns";
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
  /** How names are resolved and connections made; the system's own ways unless a test brings others. */
  network?: Network;
};

export type Network = {
  /** Gives all the addresses of a name. */
  lookup(hostname: string, done: (error: Error | null, found: LookupAddress[]) => void): void;
  /** Makes the connections for `http:` or `https:`. `false`: a new one for each request. */
  agent(protocol: string): http.Agent | false;
};

const systemNetwork: Network = {
  lookup: (hostname, done) => lookup(hostname, { all: true }, done),
  agent: () => false,
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
  let address = URL.parse(url);
  if (address === null) throw new Error(`Input ${field}: this is not a valid URL.`);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const reply = await get(address, field, rules, signal);
    const status = reply.statusCode ?? 0;
    const { location } = reply.headers;
    if (status >= 300 && status < 400 && location !== undefined) {
      reply.destroy();
      address = URL.parse(location, address.href);
      if (address === null) throw new Error(`Input ${field}: its URL redirects to what is no URL.`);
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

  const network = rules.network ?? systemNetwork;

  // The connection goes to what is checked here. A name that is private and one that isn't there are told alike.
  const checkedLookup: LookupFunction = (hostname, options, done) => {
    network.lookup(hostname, (error, found) => {
      const [first] = found ?? [];
      if (error !== null || first === undefined || found.some((entry) => !allowed(entry.address))) done(refusal, []);
      else if (options.all === true) done(null, found);
      else done(null, first.address, first.family);
    });
  };
  return new Promise((resolve, reject) => {
    const transport = address.protocol === "https:" ? https : http;
    const request = transport.get(
      address,
      { lookup: checkedLookup, signal, agent: network.agent(address.protocol) },
      resolve,
    );
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
  const name = basename(address.pathname.replaceAll(/%[0-9a-f]{2}/gi, "_")).replaceAll(/[^\w.-]/g, "_");
  return name.replace(/^\.+/, "_").slice(-100) || "file";
}
