/**
 * Downloads a client's URL into a file. The address is checked when the connection is made, for every redirect again,
 * so that a name that resolves otherwise a second time gains nothing.
 */
import { lookup } from "node:dns";
import type { LookupAddress } from "node:dns";
import { createWriteStream } from "node:fs";
import type * as http from "node:http";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { inputFileName } from "./input-file-name.ts";
import { mayFetchFrom } from "./public-address.ts";
import { NotPublic, publicGet } from "./public-get.ts";

export type DownloadRules = {
  allowLoopback: boolean;
  /** The edge's own origin, which may be private: files that clients uploaded there. */
  trustedOrigin: string;
  maxBytes: number;
  /** What all files of one prediction may still bring together; left out, there is no limit. */
  total?: Total;
  timeoutMs: number;
  /** Ends it: nobody wants the file any more. */
  signal?: AbortSignal;
  /** How names are resolved and connections made; the system's own ways unless a test brings others. */
  network?: Network;
};

/** `take` says that so many bytes more came to this host; what it answers ends the download. */
export type Total = { leftBytes: number; readonly limitBytes: number; take?(bytes: number): Error | null };

export type Network = {
  /** Gives all the addresses of a name. */
  lookup(hostname: string, done: (error: Error | null, found: LookupAddress[]) => void): void;
  /** Makes the connections for `http:` or `https:`. `false`: a new one for each request. */
  agent(protocol: string): http.Agent | false;
};

export const systemNetwork: Network = {
  lookup: (hostname, done) => lookup(hostname, { all: true }, done),
  agent: () => false,
};

/** What a write says that fails for want of room, or of file handles. */
const DISK_ERRORS: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "EMFILE", "ENFILE"]);
const MAX_REDIRECTS = 5;
/** How often in a row a transfer may break off without having brought a byte. */
const MAX_IDLE_BREAKS = 5;
const RESUME_AFTER_MS = 200;
/** The status of a range that begins where the content ends: all of it was there when the transfer broke off. */
const WHOLE = 416;
/** What waits for the disk at most: written in one go, it takes half the time of piece by piece. */
const WRITE_BYTES = 1024 * 1024;

type Source = { url: string; field: string; rules: DownloadRules; signal: AbortSignal };
/** Where a transfer that broke off goes on, and of what content that is. */
type Resume = { offset: number; etag: string };
/** With all addresses on the way, the client's first. */
type Opened = { reply: http.IncomingMessage; addresses: URL[] };

/**
 * Fetches `url` into `folder` and returns the file's absolute path. A transfer that breaks off goes on where it was, if
 * the server can (`Range`, `If-Range`). Throws with a message for the client, which names the input's field and not
 * what the network looks like from here.
 */
export async function download(
  url: string,
  folder: string,
  number: number,
  field: string,
  rules: DownloadRules,
): Promise<string> {
  const limit = AbortSignal.timeout(rules.timeoutMs);
  const signal = rules.signal === undefined ? limit : AbortSignal.any([limit, rules.signal]);
  const source: Source = { url, field, rules, signal };
  const first = await open(source, null);
  const { headers } = first.reply;
  const name = inputFileName({
    contentDisposition: headers["content-disposition"],
    contentType: headers["content-type"],
    addresses: first.addresses,
  });
  const path = join(folder, `${number}-${name}`);
  let { reply } = first;
  let offset = 0;
  for (let breaks = 0; ;) {
    const came = { sizeBytes: offset };
    try {
      await save(reply, path, came, source);
      return path;
    } catch (error) {
      const { size } = await stat(path).catch(() => ({ size: 0 }));
      breaks = size > offset ? 0 : breaks + 1;
      offset = size;
      const { etag } = reply.headers;
      const isFinal = !(error instanceof BrokenOff) || source.signal.aborted || breaks > MAX_IDLE_BREAKS;
      if (isFinal || etag?.startsWith('"') !== true) throw error;
      // Bytes that came and were not written come again.
      giveBack(rules, came.sizeBytes - size);
      reply = await resume(source, { offset, etag }, breaks);
      if (reply.statusCode === WHOLE) {
        reply.destroy();
        return path;
      }
      if (reply.statusCode === 200) {
        giveBack(rules, offset);
        offset = 0;
      }
    }
  }
}

function giveBack({ total }: DownloadRules, bytes: number): void {
  if (total === undefined) return;
  total.leftBytes += bytes;
  total.take?.(-bytes);
}

/** Asks for the rest, several times if the server is away for a moment. */
async function resume(source: Source, from: Resume, breaks: number): Promise<http.IncomingMessage> {
  for (let tries = breaks; ; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, RESUME_AFTER_MS * 2 ** tries));
    try {
      return (await open(source, from)).reply;
    } catch (error) {
      if (!(error instanceof BrokenOff) || tries >= MAX_IDLE_BREAKS) throw error;
    }
  }
}

async function open(source: Source, from: Resume | null): Promise<Opened> {
  const { url, field } = source;
  let address = URL.parse(url);
  if (address === null) throw new Error(`Input ${field}: this is not a valid URL.`);
  const addresses: URL[] = [];
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    addresses.push(address);
    const reply = await get(address, source, from);
    const status = reply.statusCode ?? 0;
    const { location } = reply.headers;
    if (status >= 300 && status < 400 && location !== undefined) {
      reply.destroy();
      address = URL.parse(location, address.href);
      if (address === null) throw new Error(`Input ${field}: its URL redirects to what is no URL.`);
      continue;
    }
    const isRest = from !== null && (status === 206 || status === WHOLE) && startOf(reply) === from.offset;
    if (status === 200 || isRest) return { reply, addresses };
    reply.destroy();
    throw new Error(`Input ${field}: its URL answered ${status}.`);
  }
  throw new Error(`Input ${field}: its URL redirects more than ${MAX_REDIRECTS} times.`);
}

/** Where the part begins; of a refused range, where the content ends. */
function startOf(reply: http.IncomingMessage): number {
  const range = /^bytes (?:(\d+)-|\*\/(\d+)$)/.exec(reply.headers["content-range"] ?? "");
  return Number(range?.[1] ?? range?.[2] ?? Number.NaN);
}

/** The connection could not be made, or broke: another try may do. */
class BrokenOff extends Error {
  override readonly name = "BrokenOff";
}

async function get(address: URL, { field, rules, signal }: Source, from: Resume | null): Promise<http.IncomingMessage> {
  if (address.protocol !== "http:" && address.protocol !== "https:") {
    throw new Error(`Input ${field}: a file is given as an http(s) URL or a data: URI.`);
  }
  const trusted = address.origin === rules.trustedOrigin;
  const allowed = (ip: string): boolean => trusted || mayFetchFrom(ip, rules.allowLoopback);
  const headers: Record<string, string> =
    from === null ? {} : { range: `bytes=${from.offset}-`, "if-range": from.etag };
  try {
    return await publicGet(address, { allowed, network: rules.network ?? systemNetwork, headers, signal });
  } catch (error) {
    if (error instanceof NotPublic)
      throw new Error(`Input ${field}: its URL does not lead to a public address.`, { cause: error });
    throw new BrokenOff(`Input ${field}: its URL could not be fetched.`, { cause: error });
  }
}

/** Writes what comes behind the bytes that `came` names, and counts it there. Throws `BrokenOff` when it ends early. */
async function save(
  reply: http.IncomingMessage,
  path: string,
  came: { sizeBytes: number },
  source: Source,
): Promise<void> {
  const { field, rules, signal } = source;
  const offset = came.sizeBytes;
  const tooLarge = new Error(`Input ${field}: the file is larger than ${rules.maxBytes} bytes.`);
  const total: Total = rules.total ?? { leftBytes: Infinity, limitBytes: Infinity };
  const tooMuch = new Error(`Input ${field}: all files together are larger than ${total.limitBytes} bytes.`);
  let refusal: Error | null = null;
  reply.on("data", (chunk: Buffer) => {
    came.sizeBytes += chunk.length;
    total.leftBytes -= chunk.length;
    if (came.sizeBytes > rules.maxBytes) refusal ??= tooLarge;
    else if (total.leftBytes < 0) refusal ??= tooMuch;
    else refusal ??= total.take?.(chunk.length) ?? null;
    if (refusal !== null) reply.destroy(refusal);
  });
  try {
    const file = createWriteStream(path, {
      mode: 0o600,
      flags: offset === 0 ? "w" : "a",
      highWaterMark: WRITE_BYTES,
    });
    await pipeline(reply, file, { signal });
  } catch (error) {
    if (error === refusal || isOfTheDisk(error)) throw error;
    throw new BrokenOff(`Input ${field}: its URL broke off.`, { cause: error });
  }
}

function isOfTheDisk(error: unknown): boolean {
  return error instanceof Error && "code" in error && DISK_ERRORS.has(String(error.code));
}
