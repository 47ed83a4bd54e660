/** The Worker's routes as a client, an operator and a pool call them; the objects behind are the real ones. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { PROTOCOL } from "../../src/contract/channel.ts";
import { ManifestSchema } from "../../src/contract/manifest.ts";
import type { Manifest } from "../../src/contract/manifest.ts";
import type { PoolEvent } from "../../src/contract/event.ts";
import type { Grant } from "../../src/contract/claim.ts";
import type { Env } from "../../src/env.ts";
import worker from "../../src/index.ts";
import { notePool } from "../../src/registry/pools.ts";
import { registerManifests } from "../../src/registry/registration.ts";
import { expectDocumented } from "./documented-refusals.ts";
import { holdLease } from "./held-leases.ts";

export const testEnv = env as Env;
export const ORIGIN = "https://edge.test";

type Body = Record<string, unknown>;
type CallInit = { method?: string; key?: string; headers?: Record<string, string>; body?: unknown; env?: Partial<Env> };

/** Calls the Worker; a body that is neither text nor bytes is sent as JSON. */
export async function call(path: string, init: CallInit = {}): Promise<Response> {
  const { method = init.body === undefined ? "GET" : "POST", key, headers = {}, body } = init;
  const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  const url = path.startsWith("http") ? path : `${ORIGIN}${path}`;
  const request = new Request(url, {
    method,
    headers: {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body instanceof Uint8Array ? { "content-length": String(body.length) } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
  });
  const response = await worker.fetch(request, { ...testEnv, ...init.env }, createExecutionContext());
  await expectDocumented(request, response);
  return response;
}

/** Calls and reads the JSON that is answered. */
export async function callJson(
  path: string,
  init: CallInit = {},
): Promise<{ status: number; body: Body; headers: Headers }> {
  const response = await call(path, init);
  const text = await response.text();
  return { status: response.status, body: text === "" ? {} : (JSON.parse(text) as Body), headers: response.headers };
}

export async function admin(path: string, body: unknown): Promise<Body> {
  const answer = await callJson(`/admin/v1${path}`, { key: testEnv.ADMIN_KEY ?? "", body });
  if (answer.status !== 201)
    throw new Error(`the admin call answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** Makes an account with one key of all scopes and of normal priority, unless `key` says otherwise. */
export async function newKey(account: string, key: { scopes?: string[]; priority?: string } = {}): Promise<string> {
  await callJson("/admin/v1/accounts", { key: testEnv.ADMIN_KEY ?? "", body: { name: account } });
  return String((await admin("/keys", { account, ...key }))["key"]);
}

/** Registers a model, as the hello of its owner's pool does. Throws when it is refused. */
export async function offer(manifest: Partial<Manifest> & { name: string }): Promise<Manifest> {
  const full = ManifestSchema.parse({ owner: "acme", version: "a".repeat(64), ...manifest });
  const [refused] = await registerManifests(testEnv, { owners: [full.owner], lanes: [full.lane] }, [full]);
  if (refused !== undefined) throw new Error(`the registry refuses ${refused.model}: ${refused.reason}`);
  return full;
}

/** A pool, as far as its calls go. Each event takes the next number of its claim. */
export class FakePool {
  readonly session = `session-${crypto.randomUUID()}`;
  readonly #token: string;
  readonly #seqs = new Map<string, number>();

  private constructor(token: string) {
    this.#token = token;
  }

  static async open(lanes: string[] = ["default"], deviceCount = 0): Promise<FakePool> {
    const { id, token } = await admin("/pool-tokens", { lanes });
    const pool = new FakePool(String(token));
    holdLease(pool.session);
    if (deviceCount > 0) await pool.#saysHello(String(id), lanes, deviceCount);
    return pool;
  }

  /** What is noted of a pool that said hello. */
  async #saysHello(tokenId: string, lanes: string[], deviceCount: number): Promise<void> {
    const device = { kind: "cpu", name: "cpu", memoryBytes: null } as const;
    const devices = Array.from({ length: deviceCount }, (_, index) => ({ ...device, id: `cpu${index}` }));
    const of = { protocol: PROTOCOL, session: this.session, pool: this.session, version: "1" };
    await notePool(testEnv, tokenId, { type: "hello", ...of, lanes, devices, models: [] });
  }

  get key(): string {
    return this.#token;
  }

  /** Claims one prediction for an immediate start; throws when it isn't granted. */
  async claim(id: string): Promise<Grant> {
    // A test may have restored all mocks meanwhile.
    holdLease(this.session);
    const { body } = await callJson("/pool/v1/claims", {
      key: this.#token,
      body: { session: this.session, jobs: [{ id, startNow: true }] },
    });
    const [answer] = body["claims"] as Grant[];
    if (answer?.verdict !== "granted") throw new Error(`not granted: ${JSON.stringify(body)}`);
    this.#seqs.set(answer.token, answer.seq);
    return answer;
  }

  /** Sends events of a claim. */
  async send(grant: Grant, ...events: Partial<PoolEvent>[]): Promise<{ status: number; body: Body }> {
    const numbered = events.map((event) => {
      const seq = this.#seqs.get(grant.token) ?? 0;
      this.#seqs.set(grant.token, seq + 1);
      return { ...event, id: grant.id, token: grant.token, seq };
    });
    return callJson("/pool/v1/events", { key: this.#token, body: { session: this.session, events: numbered } });
  }

  /** Claims a prediction and ends it well. */
  async run(id: string, output: unknown): Promise<void> {
    await this.send(await this.claim(id), { type: "succeeded", output } as Partial<PoolEvent>);
  }
}

/** An SSE answer, parsed. */
export async function readEvents(response: Response): Promise<{ event: string; id: string; data: string }[]> {
  const blocks = (await response.text()).split("\n\n").filter((block) => block !== "" && !block.startsWith(":"));
  return blocks.map((block) => {
    const lines = block.split("\n");
    const field = (name: string) =>
      lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
    return { event: field("event").join(), id: field("id").join(), data: field("data").join("\n") };
  });
}
