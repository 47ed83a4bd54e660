/** An edge for tests: it speaks the contract over HTTP, and desires what the test says. */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import { SyncRequestSchema } from "../src/contract/provider.ts";
import type { DesiredMachine, SyncReply, SyncRequest } from "../src/contract/provider.ts";

const HOLD_MS = 5000;

export class TestEdge {
  readonly syncs: SyncRequest[] = [];
  /** Answers a sync otherwise: with this status. */
  refuses: number | null = null;
  refusals = 0;
  /** Whether it holds syncs open while there is nothing new. */
  holds = true;
  /** Whether its answer says that it is asked again only after a minute, and news is told by the socket. */
  rests = false;
  readonly #handshakes = new WebSocketServer({ noServer: true });
  readonly #sockets = new Set<WebSocket>();
  #desired: DesiredMachine[] = [];
  #number = 0;
  readonly #held = new Set<() => void>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  async start(): Promise<URL> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.#server.on("upgrade", (request, socket, head) =>
      this.#handshakes.handleUpgrade(request, socket, head, (opened) => {
        this.#sockets.add(opened);
        opened.on("close", () => this.#sockets.delete(opened));
      }),
    );
    const { port } = this.#server.address() as AddressInfo;
    return new URL(`http://127.0.0.1:${port}`);
  }

  async stop(): Promise<void> {
    this.drop();
    for (const answer of this.#held) answer();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get last(): SyncRequest | undefined {
    return this.syncs.at(-1);
  }

  desire(desired: DesiredMachine[]): void {
    this.#desired = desired;
    this.#number += 1;
    for (const answer of this.#held) answer();
    for (const socket of this.#sockets) socket.send("changed");
  }

  get listeners(): number {
    return this.#sockets.size;
  }

  /** The sockets are lost. */
  drop(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    if (this.refuses !== null) this.refusals += 1;
    if (this.refuses !== null) return refuse(response, this.refuses);
    const sync = SyncRequestSchema.parse(JSON.parse(body));
    this.syncs.push(sync);
    const answer = (): void => {
      clearTimeout(timer);
      this.#held.delete(answer);
      if (this.refuses !== null) return refuse(response, this.refuses);
      const reply: SyncReply = {
        known: String(this.#number),
        nowMs: Date.now(),
        desired: this.#desired,
        checkAgainMs: this.rests ? 60_000 : HOLD_MS,
      };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(reply));
    };
    const timer = setTimeout(answer, this.holds && !this.rests && sync.known === String(this.#number) ? HOLD_MS : 0);
    request.socket.once("close", () => {
      clearTimeout(timer);
      this.#held.delete(answer);
    });
    this.#held.add(answer);
  }
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ detail: "this is a test" }));
}
