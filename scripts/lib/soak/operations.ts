/**
 * What the soak's clients do, each from its first call to its end: an operation resolves when all was as it had to be,
 * and rejects otherwise.
 */
import { createHash, randomBytes } from "node:crypto";
import * as z from "zod";
import type { Receiver } from "./receiver.ts";

/** Far above what any operation takes: one that lasts so long is lost. */
const LIMIT_MS = 60_000;
const FILE_BYTES = 256 * 1024;

export const kinds = ["waited", "polled", "streamed", "webhook", "file", "canceled", "listed"] as const;
export type Kind = (typeof kinds)[number];

/**
 * Of forty operations, so many of each kind. Cancels are few: their model does nothing else until it has heard of them.
 */
const shares: Record<Kind, number> = {
  waited: 14,
  polled: 8,
  streamed: 6,
  webhook: 6,
  file: 2,
  canceled: 1,
  listed: 3,
};

export type Operations = Record<Kind, (number: number) => Promise<void>>;

const PredictionSchema = z.looseObject({ id: z.string(), status: z.string(), output: z.unknown() });
const FileSchema = z.looseObject({ id: z.string(), urls: z.looseObject({ get: z.string() }) });
const ListSchema = z.looseObject({ results: z.array(z.unknown()) });

/** The kind of the operation of that number: the shares, well mixed, the same in every run. */
export function kindOf(number: number): Kind {
  const forty = kinds.flatMap((kind) => Array.from({ length: shares[kind] }, () => kind));
  // 7 has no factor in common with 40, so that every place is taken once.
  return forty[(number * 7) % forty.length] ?? "waited";
}

export function createOperations(stack: { url: string; apiKey: string }, receiver: Receiver): Operations {
  const authorization = `Bearer ${stack.apiKey}`;

  async function call(path: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(path, stack.url);
    const headers = { authorization, ...(init.headers as Record<string, string> | undefined) };
    const response = await fetch(url, { ...init, headers, signal: AbortSignal.timeout(LIMIT_MS) });
    if (response.ok) return response;
    throw new Error(`${init.method ?? "GET"} ${url.pathname} answered ${response.status}: ${await response.text()}`);
  }

  async function create(model: string, input: object, more: { prefer: string; body?: object }) {
    const response = await call("/v1/predictions", {
      method: "POST",
      headers: { "content-type": "application/json", prefer: more.prefer },
      body: JSON.stringify({ version: `local/${model}`, input, ...more.body }),
    });
    return PredictionSchema.parse(await response.json());
  }

  async function finished(id: string) {
    const giveUpAt = performance.now() + LIMIT_MS;
    while (performance.now() < giveUpAt) {
      const view = PredictionSchema.parse(await (await call(`/v1/predictions/${id}`)).json());
      if (view.status !== "starting" && view.status !== "processing") return view;
    }
    throw new Error(`the prediction ${id} did not end`);
  }

  return {
    async waited(number) {
      const value = { number, text: "x".repeat(1024) };
      expectEqual((await create("echo", { value }, { prefer: "wait=60" })).output, value);
    },
    async polled(number) {
      const { id } = await create("batch-upper", { text: `soak ${number}` }, { prefer: "respond-async" });
      expectEqual((await finished(id)).output, `SOAK ${number}`);
    },
    async streamed(number) {
      const text = `one two three ${number}`;
      const body = { stream: true };
      const { id } = await create("stream-words", { text, delay_ms: 1 }, { prefer: "respond-async", body });
      const headers = { accept: "text/event-stream" };
      const events = await (await call(`/v1/predictions/${id}/stream`, { headers })).text();
      expectEqual(
        [...events.matchAll(/^event: output\n(?:id: .*\n)?data: (.*)$/gm)].map(([, word]) => word).join(""),
        text,
      );
      if (!/^event: done\n(?:id: .*\n)?data: \{\}$/m.test(events))
        throw new Error(`the stream did not end well: ${events}`);
    },
    async webhook(number) {
      const { url, message } = receiver.expect(LIMIT_MS);
      const body = { webhook: url, webhook_events_filter: ["completed"] };
      const created = create("hello-world", { text: String(number) }, { prefer: "respond-async", body });
      const [, told] = await Promise.all([created, message]);
      expectEqual(PredictionSchema.parse(JSON.parse(told)).output, `hello ${number}`);
    },
    async file(number) {
      const bytes = randomBytes(FILE_BYTES);
      const init = { method: "POST", headers: { "content-type": "application/octet-stream" }, body: bytes };
      const file = FileSchema.parse(await (await call(`/v1/files?name=soak-${number}.bin`, init)).json());
      const back = Buffer.from(await (await call(file.urls.get)).arrayBuffer());
      expectEqual(digest(back), digest(bytes));
      await (await call(`/v1/files/${file.id}`, { method: "DELETE" })).arrayBuffer();
    },
    async canceled() {
      const { id } = await create("stream-words", { text: "never said", delay_ms: 5000 }, { prefer: "respond-async" });
      await (await call(`/v1/predictions/${id}/cancel`, { method: "POST" })).arrayBuffer();
      expectEqual((await finished(id)).status, "canceled");
    },
    async listed() {
      const { results } = ListSchema.parse(await (await call("/v1/predictions?limit=20")).json());
      if (results.length === 0) throw new Error("the list of predictions is empty");
    },
  };
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function expectEqual(seen: unknown, wanted: unknown): void {
  const [is, should] = [JSON.stringify(seen), JSON.stringify(wanted)];
  if (is !== should) throw new Error(`came back as ${is?.slice(0, 200)} in place of ${should.slice(0, 200)}`);
}
