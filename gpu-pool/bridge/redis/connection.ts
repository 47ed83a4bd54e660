/**
 * The connections to Redis: one for commands, one for subscriptions. Commands go out as they come, pipelined; a
 * connection that is lost fails what is in flight at once, and nothing is sent twice behind a caller's back.
 */
import { Command, Redis } from "ioredis";
import type { RedisOptions } from "ioredis";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { readTlsFiles } from "../pem-files.ts";
import type { RedisSettings } from "../settings.ts";
import type { Argument } from "./arguments.ts";
import { CommandTable } from "./commands.ts";

/** In a reply texts are buffers, and integers are strings of their digits. */
export type Outcome = { ok: true; reply: unknown } | { ok: false; error: string };

export class RedisConnection {
  readonly #redis: Redis;
  #table: CommandTable | null = null;
  #loading: Promise<CommandTable> | null = null;
  #trouble = "not connected yet";

  constructor(settings: RedisSettings) {
    this.#redis = new Redis(settings.url, { ...redisOptions(settings), stringNumbers: true });
    this.#redis.on("error", (error: Error) => {
      this.#trouble = messageOf(error);
    });
    this.#redis.on("close", () => {
      this.#table = null;
    });
  }

  /** What the server knows. Throws `unavailable` when it can't be reached, or refuses the bridge. */
  async table(): Promise<CommandTable> {
    if (this.#table !== null) return this.#table;
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  /** Runs commands in one go, in order; nothing of others comes between. Throws `unavailable`. */
  async run(commands: readonly { name: string; args: readonly Argument[] }[]): Promise<Outcome[]> {
    this.#checkReady();
    const { stream } = this.#redis;
    // Several leave in one write.
    if (commands.length > 1) stream.cork();
    const sent = commands.map(({ name, args }) => this.#send(name, args));
    if (commands.length > 1) stream.uncork();
    return Promise.all(sent);
  }

  async ping(): Promise<void> {
    await this.table();
    await this.run([{ name: "PING", args: [] }]);
  }

  async getKeys(name: string, args: readonly Argument[]): Promise<Argument[]> {
    const [outcome] = await this.run([{ name: "COMMAND", args: ["GETKEYS", name, ...args] }]);
    if (outcome?.ok !== true || !Array.isArray(outcome.reply)) return [];
    return outcome.reply.map((key) => (Buffer.isBuffer(key) ? key : String(key)));
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #load(): Promise<CommandTable> {
    if (this.#redis.status !== "ready") await this.#becomeReady();
    const [outcome] = await this.run([{ name: "COMMAND", args: [] }]);
    if (outcome === undefined || !outcome.ok) throw unreachable(outcome?.error ?? this.#trouble);
    this.#table = new CommandTable(asPlain(outcome.reply));
    return this.#table;
  }

  async #becomeReady(): Promise<void> {
    const deadline = performance.now() + 1000;
    while (this.#redis.status !== "ready") {
      if (performance.now() > deadline) throw unreachable(this.#trouble);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #checkReady(): void {
    if (this.#redis.status !== "ready") throw unreachable(this.#trouble);
  }

  async #send(name: string, args: readonly Argument[]): Promise<Outcome> {
    // Upper case keeps the library from rewriting arguments and replies, which it does by lower-case name.
    const command = new Command(name.toUpperCase(), [...args], { replyEncoding: null });
    try {
      const reply: unknown = await this.#redis.sendCommand(command);
      return { ok: true, reply };
    } catch (error) {
      const message = messageOf(error);
      if (error instanceof Error && error.name === "ReplyError") return { ok: false, error: message };
      throw unreachable(message);
    }
  }
}

export function redisOptions(settings: RedisSettings): RedisOptions & { replyMapping?: "legacy" } {
  const { tls } = settings;
  return {
    protocol: 2,
    connectTimeout: 3000,
    commandTimeout: settings.commandTimeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt: number) => Math.min(50 * attempt, 1000),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...readTlsFiles("redis.tls", tls),
            ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
          },
        }),
  };
}

function unreachable(message: string): EdgeplaneError {
  const text = /NOAUTH|WRONGPASS|invalid password|NOPERM/i.test(message)
    ? `Redis refused the bridge's user or password (redis.url): ${message}`
    : `Redis can't be reached (redis.url): ${message}`;
  return new EdgeplaneError("unavailable", text, { retryAfterMs: 1000 });
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}

/** A reply with texts for its buffers, and numbers for its integers. */
function asPlain(reply: unknown): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString("utf8");
  if (typeof reply === "string") return Number(reply);
  return Array.isArray(reply) ? reply.map(asPlain) : reply;
}
