/** The Redis door: the Upstash REST dialect in front of a stock Redis or Valkey. */
import type { ServerResponse } from "node:http";
import type { Logger } from "pino";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import type { Reply, Request } from "../http.ts";
import type { Metrics } from "../metrics.ts";
import { SecretBook } from "../secrets.ts";
import type { RedisSettings, RedisToken } from "../settings.ts";
import type { Argument } from "./arguments.ts";
import { checkCommand } from "./commands.ts";
import type { CheckedCommand } from "./commands.ts";
import { RedisConnection } from "./connection.ts";
import type { Outcome } from "./connection.ts";
import { restResult } from "./replies.ts";
import { readCommands } from "./requests.ts";
import { ScriptMap } from "./scripts.ts";
import { Streams } from "./streams.ts";

export class RedisDoor {
  readonly #settings: RedisSettings;
  readonly #tokens: SecretBook<RedisToken>;
  readonly #connection: RedisConnection;
  readonly #scripts = new ScriptMap();
  readonly #streams: Streams;
  /** Names this life of the door in sync tokens. */
  readonly #life = Date.now().toString(36);
  #answered = 0;

  constructor(settings: RedisSettings, metrics: Metrics, _log: Logger) {
    this.#settings = settings;
    this.#tokens = new SecretBook(settings.tokens.map((token) => [token.token, token]));
    this.#connection = new RedisConnection(settings);
    this.#streams = new Streams(settings);
    metrics.gauge("subscriptions", "Open subscriptions.", () => this.#streams.size);
  }

  get bodyLimitBytes(): number {
    return this.#settings.maxBodyBytes;
  }

  async probe(): Promise<void> {
    await this.#connection.ping();
  }

  /** Finds the token's rights. Throws `unauthenticated`. */
  authenticate(request: Request): RedisToken {
    const text = /^Bearer\s+(\S+)$/i.exec(request.header("authorization") ?? "")?.[1] ?? request.query.get("_token");
    const token = text === null ? null : this.#tokens.find(text);
    if (token !== null) return token;
    const message =
      text === null
        ? "WRONGPASS send `Authorization: Bearer …` with a token of the bridge"
        : "WRONGPASS the bridge has no such token";
    throw new EdgeplaneError("unauthenticated", message, { headers: { "www-authenticate": 'Bearer realm="redis"' } });
  }

  isStream({ segments }: Request): boolean {
    return segments.length === 2 && /^p?subscribe$/i.test(segments[0] ?? "");
  }

  /** Opens a subscription; the response stays open. */
  async stream(request: Request, token: RedisToken, response: ServerResponse): Promise<string> {
    const kind = /^p/i.test(request.segments[0] ?? "") ? "psubscribe" : "subscribe";
    const channel = request.segments[1] ?? "";
    if (!channel.startsWith(token.keyPrefix)) {
      throw new EdgeplaneError(
        "forbidden",
        `NOPERM this token may only use channels that begin with '${token.keyPrefix}'`,
      );
    }
    await this.#streams.open(kind, channel, response, token);
    return kind;
  }

  async handle(request: Request, token: RedisToken): Promise<Reply> {
    return { ...(await this.#answer(request, token)), headers: { "upstash-sync-token": this.#syncToken() } };
  }

  endStreams(): void {
    this.#streams.endAll();
  }

  async close(): Promise<void> {
    this.#streams.close();
    this.#connection.close();
  }

  /**
   * Clients send back the last one, so that a database with replicas lets them read what they wrote. All here goes to
   * one Redis in order: nothing needs to be waited for, and what a client sends is not looked at.
   */
  #syncToken(): string {
    return `${this.#life}.${++this.#answered}`;
  }

  async #answer(request: Request, token: RedisToken): Promise<Reply> {
    if (
      request.method !== "GET" &&
      request.method !== "POST" &&
      request.method !== "PUT" &&
      request.method !== "HEAD"
    ) {
      throw new EdgeplaneError("method_not_allowed", "Use GET or POST.", { headers: { allow: "GET, POST" } });
    }
    const base64 = request.header("upstash-encoding") === "base64";
    const { kind, commands } = readCommands(request, this.#settings.maxPipelineCommands);
    if (kind === "pipeline") {
      const results = await this.#pipeline(commands, token);
      return { status: 200, body: results.map((outcome) => restResult(outcome, base64)), operation: kind };
    }
    const checked = await Promise.all(commands.map(async (command) => this.#check(command, token)));
    if (kind === "single") {
      const [outcome] = await this.#connection.run(checked);
      const missing: Outcome = { ok: false, error: "ERR no reply" };
      return {
        status: outcome?.ok === true ? 200 : 400,
        body: restResult(outcome ?? missing, base64),
        operation: kind,
      };
    }
    return { ...(await this.#transaction(checked, base64)), operation: kind };
  }

  async #pipeline(commands: Argument[][], token: RedisToken): Promise<Outcome[]> {
    const verdicts = await Promise.all(
      commands.map(async (command) =>
        this.#check(command, token).catch((error: unknown) => {
          if (error instanceof EdgeplaneError && error.status < 500) return error;
          throw error;
        }),
      ),
    );
    const allowed = verdicts.filter((verdict): verdict is CheckedCommand => !(verdict instanceof EdgeplaneError));
    const outcomes = await this.#connection.run(allowed);
    let next = 0;
    return verdicts.map((verdict) => {
      if (verdict instanceof EdgeplaneError) return { ok: false, error: verdict.message };
      return outcomes[next++] ?? { ok: false, error: "ERR no reply" };
    });
  }

  async #transaction(checked: CheckedCommand[], base64: boolean): Promise<Omit<Reply, "operation">> {
    if (checked.length === 0) return { status: 200, body: [] };
    const outcomes = await this.#connection.run([{ name: "MULTI", args: [] }, ...checked, { name: "EXEC", args: [] }]);
    const executed = outcomes.at(-1);
    if (executed?.ok === true && Array.isArray(executed.reply)) {
      const results = executed.reply.map((reply: unknown): Outcome =>
        reply instanceof Error ? { ok: false, error: reply.message } : { ok: true, reply },
      );
      return { status: 200, body: results.map((outcome) => restResult(outcome, base64)) };
    }
    const cause = outcomes.slice(1, -1).find((outcome) => !outcome.ok);
    const error =
      cause?.ok === false
        ? cause.error
        : executed?.ok === false
          ? executed.error
          : "EXECABORT the transaction was discarded";
    return { status: 400, body: { error } };
  }

  async #check(command: Argument[], token: RedisToken): Promise<CheckedCommand> {
    const table = await this.#connection.table();
    const { name, args } = await checkCommand(command, token, table, async (command, rest) =>
      this.#connection.getKeys(command, rest),
    );
    return { name, args: this.#scripts.rewrite(name, args) };
  }
}
