/**
 * The control channel: one WebSocket that the pool opens and keeps. The text `ping`, sent every third of the lease,
 * is answered by the platform itself and holds the lease.
 *
 *   connecting ── open ──▶ open ── closed, or a ping unanswered for 2 s ──▶ waiting ── backoff ──▶ connecting
 *   connecting ── 401, 403, or no Edgeplane there ──▶ refused: fatal at start, waiting later
 */
import { WebSocket } from "ws";
import { SESSION_HEADER } from "../../src/contract/claim.ts";
import type { EdgeMessage, PoolMessage } from "../../src/contract/channel.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import type { Clock } from "../scheduling/clock.ts";
import { parseEdgeMessage } from "./grants.ts";

const HANDSHAKE_TIMEOUT_MS = 5000;
const FIRST_LEASE_MS = 15_000;
/** A ping without an answer for so long says that the other end is gone. */
const ANSWER_WITHIN_MS = 2000;
/** What has arrived by then is read first. */
const LATE_MS = 50;
/** Messages ask at most this often whether they arrive. */
const ASK_EVERY_MS = 1000;
/** How long reconnects stay quick: an edge that restarts must find its pools again in less than 2 s. */
const QUICK_FOR_MS = 120_000;

/** The edge closes so when the pool's own message, or its token's rights, are at fault. */
const FAULT_CODES: ReadonlySet<number> = new Set([4400, 4403]);

export type ChannelOptions = {
  url: URL;
  token: string;
  session: string;
  clock: Clock;
  hello(): PoolMessage;
  onOpen(): void;
  onMessage(message: EdgeMessage): void;
  /** The channel is down, and why; called once a change. */
  onDown(why: string): void;
  /** The edge refused for good: wrong token, or no Edgeplane at this address. */
  onRefused(why: string): void;
};

export type ControlChannel = {
  readonly open: boolean;
  readonly leaseMs: number;
  /** False when the channel is down. */
  send(message: PoolMessage): boolean;
  close(): void;
};

export function createControlChannel(options: ChannelOptions): ControlChannel {
  const { clock, session } = options;
  const quick = createBackoff({ firstMs: 100, capMs: 1000 });
  const slow = createBackoff({ firstMs: 1000, capMs: 5000 });
  let socket: WebSocket | null = null;
  let isOpen = false;
  let closed = false;
  let leaseMs = FIRST_LEASE_MS;
  /** Ends the wait for the answer to a ping; null while none is asked for. */
  let answered: (() => void) | null = null;
  /** The connection that was ended as nobody answered. */
  let silent: WebSocket | null = null;
  let askedAtMs = -Infinity;
  let downSinceMs = clock.nowMs();
  let cancelTimer: () => void = () => {};

  function connect(): void {
    const address = new URL(`${options.url.pathname.replace(/\/+$/, "")}/pool/v1/connect`, options.url);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const headers = { authorization: `Bearer ${options.token}`, [SESSION_HEADER]: session };
    // Its messages are short: to compress them took the edge about 300 KiB of memory a channel.
    const current = new WebSocket(address, {
      headers,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      perMessageDeflate: false,
    });
    socket = current;
    let refusal: string | null = null;
    let problem = "";
    current.on("open", () => opened(current));
    current.on("message", (data) => received(data.toString("utf8")));
    current.on("unexpected-response", (request, reply) => {
      refusal = refusalOf(reply.statusCode ?? 0, options.url);
      problem = `it answered ${reply.statusCode}`;
      reply.resume();
      request.destroy();
      lost();
    });
    current.on("error", (error) => {
      problem ||= error.message === "" && "code" in error ? String(error.code) : error.message;
    });
    current.on("close", (code, reason) => {
      if (FAULT_CODES.has(code)) refusal = `${options.url.origin} closed the channel: ${reason.toString("utf8")}`;
      lost();
    });

    function lost(): void {
      if (socket !== current) return;
      if (silent === current) problem = `nobody answered within ${(ANSWER_WITHIN_MS + LATE_MS) / 1000} s`;
      silent = null;
      socket = null;
      if (closed) return;
      if (isOpen) downSinceMs = clock.nowMs();
      isOpen = false;
      heard();
      cancelTimer();
      if (refusal === null) options.onDown(problem === "" ? "the connection closed" : problem);
      else options.onRefused(refusal);
      const isQuick = refusal === null && clock.nowMs() - downSinceMs < QUICK_FOR_MS;
      cancelTimer = clock.after((isQuick ? quick : slow).nextMs(), connect);
    }
  }

  function opened(current: WebSocket): void {
    isOpen = true;
    quick.reset();
    slow.reset();
    current.send(JSON.stringify(options.hello()));
    ask(true);
    beat();
    options.onOpen();
  }

  function beat(): void {
    cancelTimer = clock.after(leaseMs / 3, () => {
      ask(true);
      beat();
    });
  }

  /**
   * Whether what was sent has arrived: a ping behind it must be answered, or the connection is dead at the other end.
   */
  function ask(isBeat = false): void {
    const nowMs = clock.nowMs();
    if (answered !== null || (!isBeat && nowMs - askedAtMs < ASK_EVERY_MS)) return;
    askedAtMs = nowMs;
    const asked = socket;
    asked?.send("ping");
    const cancel = clock.after(ANSWER_WITHIN_MS, () => {
      // What came meanwhile may wait in this process, when it was busy or asleep.
      answered = clock.after(LATE_MS, () => {
        silent = asked;
        asked?.terminate();
      });
    });
    answered = cancel;
  }

  function heard(): void {
    answered?.();
    answered = null;
  }

  function received(text: string): void {
    heard();
    if (text === "pong") return;
    const message = parseEdgeMessage(text);
    if (message === null) return;
    if (message.type === "welcome") {
      leaseMs = message.leaseMs;
      cancelTimer();
      beat();
    }
    options.onMessage(message);
  }

  connect();
  return {
    get open() {
      return isOpen;
    },
    get leaseMs() {
      return leaseMs;
    },
    send(message) {
      if (!isOpen || socket === null) return false;
      socket.send(JSON.stringify(message));
      ask();
      return true;
    },
    close() {
      closed = true;
      isOpen = false;
      cancelTimer();
      socket?.close(1000);
    },
  };
}

/** What to tell the operator, or null when trying again may help. */
function refusalOf(status: number, url: URL): string | null {
  if (status === 401) return `${url.origin} does not know this token: check --token (EDGEPLANE_POOL_TOKEN)`;
  if (status === 403)
    return `${url.origin} does not let this token connect a pool: use a pool token that serves these lanes`;
  if (status < 500 && status !== 408 && status !== 425 && status !== 429) {
    return `${url.href} is not an Edgeplane (it answered ${status} to /pool/v1/connect): check --url (EDGEPLANE_URL)`;
  }
  return null;
}
