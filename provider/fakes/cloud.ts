/**
 * A provider's servers as tests need them: its machines, in memory, and what can go wrong with its API. The APIs in
 * front of it (`runpod.ts`, `vast.ts`, `plain.ts`) were made from the providers' public documents.
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export type Operation = "offers" | "list" | "create" | "destroy" | "balance";

/**
 * What becomes of a call. `too many`: 429. `failed`: 500, nothing was done; `failed late`: it was. `cut`: the
 * connection ends without an answer, nothing was done; `cut late`: it was. `silent`: it was done, and no answer ever
 * comes. `lies`: it answers as if it were done, and it isn't.
 */
export type Fault = "too many" | "failed" | "failed late" | "cut" | "cut late" | "silent" | "lies" | "sold out";

export type FakeMachine = { id: number; name: string; status: string; createdAtMs: number; order: unknown };

export type Reply = { status: number; body?: unknown; type?: string; headers?: Record<string, string> };
export type FakeRequest = { method: string; path: string; query: URLSearchParams; body: unknown };

/** One API: which operation a request is, and how it is carried out on the cloud. */
export type FakeApi = {
  key: string;
  operationOf(request: FakeRequest): Operation | null;
  answer(operation: Operation, request: FakeRequest, cloud: FakeCloud): Reply;
  /** How it says that there are too many calls, that it failed, that nothing is left, and what a key is not for. */
  tooMany: Reply;
  failed: Reply;
  soldOut: Reply;
  unauthorized: Reply;
};

export class FakeCloud {
  readonly machines = new Map<number, FakeMachine>();
  /** What goes wrong next, by operation; the first is used up first. */
  readonly faults: Record<Operation, Fault[]> = { offers: [], list: [], create: [], destroy: [], balance: [] };
  /** Every call that was carried out, or was meant to be. */
  readonly calls: { operation: Operation; body: unknown }[] = [];
  balance = 100;
  /** What a new machine is. */
  bornAs = "new";
  readonly #api: FakeApi;
  #nextId = 1001;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  constructor(api: FakeApi) {
    this.#api = api;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  make(name: string, order: unknown = {}, status = this.bornAs): FakeMachine {
    const machine = { id: this.#nextId, name, status, createdAtMs: Date.now(), order };
    this.#nextId += 1;
    this.machines.set(machine.id, machine);
    return machine;
  }

  get names(): string[] {
    return [...this.machines.values()].map(({ name }) => name);
  }

  count(operation: Operation): number {
    return this.calls.filter((call) => call.operation === operation).length;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "/", "http://fake");
    const said = await text(incoming);
    const body: unknown = said === "" ? null : JSON.parse(said);
    const request = { method: incoming.method ?? "", path: url.pathname, query: url.searchParams, body };
    if (incoming.headers.authorization !== `Bearer ${this.#api.key}`) return send(response, this.#api.unauthorized);
    const operation = this.#api.operationOf(request);
    if (operation === null) return send(response, { status: 404, body: { detail: "no such path" } });
    this.calls.push({ operation, body });
    const fault = this.faults[operation].shift();
    if (fault === "cut") incoming.socket.destroy();
    else if (fault === "too many") send(response, this.#api.tooMany);
    else if (fault === "failed") send(response, this.#api.failed);
    else if (fault === "sold out") send(response, this.#api.soldOut);
    else if (fault === "lies") send(response, this.#answerAside(operation, request));
    else {
      const reply = this.#api.answer(operation, request, this);
      if (fault === "cut late") incoming.socket.destroy();
      else if (fault === "failed late") send(response, this.#api.failed);
      else if (fault === undefined) send(response, reply);
    }
  }

  /** The answer, without what it stands for. */
  #answerAside(operation: Operation, request: FakeRequest): Reply {
    const before = new Map(this.machines);
    const reply = this.#api.answer(operation, request, this);
    this.machines.clear();
    for (const [id, machine] of before) this.machines.set(id, machine);
    return reply;
  }
}

function send(response: ServerResponse, { status, body, type = "application/json", headers = {} }: Reply): void {
  response.writeHead(status, body === undefined ? headers : { "content-type": type, ...headers });
  response.end(body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body));
}
