/** Calls of the gateway. What it refuses becomes a `CliError` with its reason, its remedy and its exit code. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import type { Connection } from "./config.ts";
import { CliError, exitCodes, messageOf } from "./errors.ts";

/** Of a call that may be sent again. */
const TRIES = 3;
const FIRST_WAIT_MS = 200;
const MAX_WAIT_MS = 10_000;
/** Until an answer begins, and until it has come as a whole, unless it is a stream or a file. */
const CALL_LIMIT_MS = 90_000;

const ProblemSchema = z.object({
  detail: z.string(),
  code: z.string().optional(),
  remedy: z.string().optional(),
  request_id: z.string().optional(),
});

/** What the gateway refused. */
export class Refusal extends CliError {
  readonly status: number;
  /** Of docs/errors.md; null where the answer is no gateway's. */
  readonly code: string | null;

  constructor(answer: { status: number; code: string | null }, message: string, remedy: string | null) {
    super(message, exitCodeOf(answer.status), remedy);
    this.status = answer.status;
    this.code = answer.code;
  }
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type Call = {
  body?: unknown;
  query?: Record<string, string | number | boolean | undefined>;
  headers?: Record<string, string>;
  /** Sending it twice does no harm, for example because it has a key. GET and DELETE may be sent again anyhow. */
  repeatable?: boolean;
  signal?: AbortSignal;
};

export type Client = {
  url: string;
  /** With the API key; `path` begins behind `/v1`. */
  api<T>(schema: z.ZodType<T>, method: Method, path: string, call?: Call): Promise<T>;
  /** With the operator's key; `path` begins behind `/admin/v1`. */
  admin<T>(schema: z.ZodType<T>, method: Method, path: string, call?: Call): Promise<T>;
  /** The page behind a link, of which the path counts: behind a proxy the gateway may know itself by another name. */
  page<T>(schema: z.ZodType<T>, link: string): Promise<T>;
  /** The raw answer of any address of the gateway, with the API key; refusals throw. Its body may take any time. */
  open(method: Method, address: string, call?: Call): Promise<Response>;
};

export function createClient(connection: Connection): Client {
  const { url, key, adminKey, source } = connection;
  const bearer = (secret: string | undefined, what: string, variable: string): string => {
    if (secret !== undefined) return `Bearer ${secret}`;
    throw new CliError(
      `this needs ${what}, and ${source} has none`,
      exitCodes.forbidden,
      `Set ${variable}, or run \`edgeplane login\`.`,
    );
  };
  const apiKey = (): string => bearer(key, "an API key", "EDGEPLANE_API_KEY");
  const operatorKey = (): string => bearer(adminKey, "the operator's key", "EDGEPLANE_ADMIN_KEY");
  const read = async <T>(schema: z.ZodType<T>, answer: Response): Promise<T> => {
    const text = await answer.text().catch((error: unknown) => {
      throw new CliError(`${url} broke its answer off: ${reasonOf(error)}`, exitCodes.unreachable);
    });
    const parsed = schema.safeParse(text === "" ? null : parseJson(text));
    if (parsed.success) return parsed.data;
    throw new CliError(
      `${url} answered something else than expected: ${z.prettifyError(parsed.error)}`,
      exitCodes.failed,
      "The gateway may be of another version than this command, or the address is not a gateway's.",
    );
  };
  return {
    url,
    async api(schema, method, path, call = {}) {
      return read(schema, await send(`${url}/v1${path}`, method, apiKey(), call));
    },
    async admin(schema, method, path, call = {}) {
      return read(schema, await send(`${url}/admin/v1${path}`, method, operatorKey(), call));
    },
    async page(schema, link) {
      const { pathname, search } = new URL(link, url);
      return read(schema, await send(new URL(`${pathname}${search}`, url).href, "GET", apiKey(), {}));
    },
    open: async (method, address, call = {}) => send(new URL(address, url).href, method, apiKey(), call, false),
  };
}

/** `limitsBody`: the limit holds until the answer has been read. */
async function send(
  address: string,
  method: Method,
  authorization: string,
  call: Call,
  limitsBody = true,
): Promise<Response> {
  const target = new URL(address);
  for (const [name, value] of Object.entries(call.query ?? {}))
    if (value !== undefined) target.searchParams.set(name, String(value));
  const isForm = call.body instanceof FormData;
  const init: RequestInit = {
    method,
    headers: {
      authorization,
      ...(call.body === undefined || isForm ? {} : { "content-type": "application/json" }),
      ...call.headers,
    },
    ...(call.body === undefined ? {} : { body: isForm ? (call.body as FormData) : JSON.stringify(call.body) }),
  };
  const mayRepeat = call.repeatable ?? (method === "GET" || method === "DELETE");
  for (let attempt = 1; ; attempt += 1) {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new Error(`no answer within ${CALL_LIMIT_MS / 1000} s`)), CALL_LIMIT_MS);
    timer.unref();
    const signal = call.signal === undefined ? limit.signal : AbortSignal.any([call.signal, limit.signal]);
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), MAX_WAIT_MS);
    let answer: Response;
    try {
      answer = await fetch(target, { ...init, signal });
    } catch (error) {
      clearTimeout(timer);
      if (call.signal?.aborted === true) throw error;
      if (mayRepeat && attempt < TRIES) {
        await sleep(waitMs);
        continue;
      }
      throw new CliError(
        `${target.origin} can't be reached: ${reasonOf(error)}`,
        exitCodes.unreachable,
        "Check the address and that the gateway is up; `edgeplane doctor` looks closer.",
      );
    }
    if (answer.ok) {
      if (!limitsBody) clearTimeout(timer);
      return answer;
    }
    const isPassing = answer.status === 503 || answer.status === 429;
    if (!(isPassing && mayRepeat && attempt < TRIES))
      throw refusal(target, answer.status, await answer.text().catch(() => ""));
    await answer.body?.cancel();
    await sleep(retryAfterMs(answer) ?? waitMs);
  }
}

/** Node says why in the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof AggregateError && cause.errors.length > 0) return messageOf(cause.errors[0]);
  return messageOf(cause ?? error);
}

function retryAfterMs(answer: Response): number | null {
  const seconds = Number(answer.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1000, MAX_WAIT_MS) : null;
}

/** `text`: the body of what was answered with a status of 400 or more. */
export function refusal(target: URL, status: number, text: string): Refusal {
  const problem = ProblemSchema.safeParse(parseJson(text));
  if (!problem.success) {
    const said = text.trim().slice(0, 200);
    return new Refusal(
      { status, code: null },
      `${target.origin}${target.pathname} answered ${status}${said === "" ? "" : `: ${said}`}`,
      "That is no answer of a gateway: check the address.",
    );
  }
  const { detail, code, remedy, request_id: requestId } = problem.data;
  const name = [code, requestId === undefined ? undefined : `request ${requestId}`].filter(
    (part) => part !== undefined,
  );
  return new Refusal({ status, code: code ?? null }, `${detail.trim()} (${name.join(", ")})`, remedy ?? null);
}

function exitCodeOf(status: number): number {
  if (status === 401 || status === 403) return exitCodes.forbidden;
  if (status === 404) return exitCodes.notFound;
  return status >= 500 && status !== 501 ? exitCodes.unreachable : exitCodes.failed;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
