/**
 * A client that never gives up before its time: an accept is tried again under the same key, a read until it is
 * answered.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";

const ATTEMPT_MS = 5000;
const PAUSE_MS = 50;

export const ViewSchema = z.looseObject({
  id: z.string(),
  status: z.enum(["starting", "processing", "succeeded", "failed", "canceled", "aborted"]),
  output: z.unknown(),
  error: z.string().nullable(),
  attempt: z.number(),
  created_at: z.string(),
  started_at: z.string().nullable(),
  completed_at: z.string().nullable(),
});
export type View = z.infer<typeof ViewSchema>;

/** What a stream told until its `done`: every output and every end, across all times that it had to be opened again. */
export type StreamTold = { outputs: string[]; ends: string[] };

export type Client = {
  create(key: string, body: object): Promise<View>;
  /** The prediction as it is; null when the edge doesn't know it. */
  get(id: string): Promise<View | null>;
  stream(id: string): Promise<StreamTold>;
};

export function isFinished(view: Pick<View, "status">): boolean {
  return view.status !== "starting" && view.status !== "processing";
}

/** Calls are repeated until they are answered or `signal` ends them; then they reject. */
export function createClient(url: string, apiKey: string, signal: AbortSignal): Client {
  const authorization = `Bearer ${apiKey}`;

  /** Repeats `once` while the edge is away (no answer, or a 5xx); any other refusal is a fault of the test. */
  async function persist<T>(once: () => Promise<T>): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await once();
      } catch (error) {
        if (error instanceof RefusedError) throw error;
        await sleep(PAUSE_MS, undefined, { signal });
      }
    }
  }

  async function call(path: string, init: RequestInit): Promise<Response> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS)]);
    const response = await fetch(`${url}${path}`, { ...init, signal: limit });
    if (response.status < 400 || response.status === 404) return response;
    const text = await response.text();
    if (response.status < 500) throw new RefusedError(`${path} was refused with ${response.status}: ${text}`);
    throw new Error(`${path} answered ${response.status}: ${text}`);
  }

  return {
    create: (key, body) =>
      persist(async () => {
        const headers = { authorization, "content-type": "application/json", "idempotency-key": key };
        const init = { method: "POST", headers, body: JSON.stringify(body) };
        const response = await call("/v1/predictions", init);
        const text = await response.text();
        if (!response.ok) throw new RefusedError(`the create of ${key} was refused with ${response.status}: ${text}`);
        return ViewSchema.parse(JSON.parse(text));
      }),
    get: (id) =>
      persist(async () => {
        const response = await call(`/v1/predictions/${id}`, { headers: { authorization } });
        const text = await response.text();
        return response.ok ? ViewSchema.parse(JSON.parse(text)) : null;
      }),
    async stream(id) {
      const told: StreamTold = { outputs: [], ends: [] };
      let lastId = "";
      while (told.ends.length === 0) {
        await persist(async () => {
          const resume: Record<string, string> = lastId === "" ? {} : { "last-event-id": lastId };
          const headers = { authorization, accept: "text/event-stream", ...resume };
          const response = await fetch(`${url}/v1/predictions/${id}/stream`, { headers, signal });
          if (!response.ok || response.body === null) throw new Error(`the stream answered ${response.status}`);
          for await (const event of eventsOf(response.body)) {
            lastId = event.id;
            if (event.name === "output") told.outputs.push(event.data);
            if (event.name === "done") told.ends.push(event.data);
          }
        });
      }
      return told;
    },
  };
}

class RefusedError extends Error {}

type StreamEvent = { name: string; data: string; id: string };

/** Server-sent events, as far as Edgeplane's streams use them: `event`, `data` and `id` lines. */
async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of body) {
    text += decoder.decode(bytes, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const event: StreamEvent = { name: "message", data: "", id: "" };
      for (const line of block.split("\n")) {
        const [, field, value = ""] = /^(event|data|id): ?(.*)$/.exec(line) ?? [];
        if (field === "event") event.name = value;
        else if (field === "id") event.id = value;
        else if (field === "data") event.data += event.data === "" ? value : `\n${value}`;
      }
      if (event.name !== "message") yield event;
    }
  }
}
