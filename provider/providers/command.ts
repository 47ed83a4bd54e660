/**
 * Any other cloud, by four executables of the operator's own. Each is started for one call, with JSON on its standard
 * input, and answers JSON on its standard output; what it says on standard error is logged.
 *
 *     offers   {}            → { "offers": [Offer…], "balance"?: { "nano", "currency" } }
 *     list     {}            → { "machines": [Machine…] }     everything that is there
 *     create   Order         → { "providerId": "…" }
 *     destroy  { "providerId" } → {}                          that it isn't there any more is no error
 *
 * Instead each may answer `{ "error": Reason, "message": "…", "retryAfterMs"?: n }`. One that ends with another code
 * than 0, is killed, or answers anything else, says nothing about what was done.
 */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import * as z from "zod";
import { OfferSchema, ProviderMachineSchema, refusalReasons } from "../../src/contract/provider.ts";
import { brief, LONGEST_RETRY_MS } from "../http.ts";
import { ProviderError } from "../provider.ts";
import type { Balance, Provider } from "../provider.ts";

const ArgvSchema = z.array(z.string().min(1)).min(1);

export const CommandSchema = z.strictObject({
  /** Each: the program and its arguments. */
  offers: ArgvSchema,
  list: ArgvSchema,
  create: ArgvSchema,
  destroy: ArgvSchema,
  /** How long one call may take before it is killed. */
  timeoutMs: z.int().min(100).max(600_000).default(60_000),
});
export type CommandOptions = z.infer<typeof CommandSchema>;

const BalanceSchema = z.object({ nano: z.int(), currency: z.string().regex(/^[A-Z]{3}$/) });
const OffersSchema = z.object({ offers: z.array(OfferSchema), balance: BalanceSchema.optional() });
const MachineSchema = ProviderMachineSchema.omit({ machine: true, state: true }).extend({
  // Others name theirs as they like, or not at all.
  name: z.string(),
  offer: ProviderMachineSchema.shape.offer.default(null),
  state: z.enum([...ProviderMachineSchema.shape.state.options, "ended"]),
});
const ListSchema = z.object({ machines: z.array(MachineSchema) });
const CreatedSchema = z.object({ providerId: ProviderMachineSchema.shape.providerId });
const ErrorSchema = z.object({
  error: z.enum([...refusalReasons, "rate_limited"]),
  message: z.string(),
  retryAfterMs: z
    .number()
    .nonnegative()
    .transform((ms) => Math.min(ms, LONGEST_RETRY_MS))
    .optional(),
});

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const MAX_SAID_BYTES = 4096;
const LATE_OUTPUT_MS = 250;

export function command(options: CommandOptions, say: (line: string) => void): Provider {
  let balance: Balance | null = null;

  async function ask<T>(
    argv: readonly string[],
    input: unknown,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]);
    const { text, said, ended } = await run(argv, JSON.stringify(input), limit);
    if (said !== "") say(`${argv[0]}: ${brief(said)}`);
    const answer = readJson(text);
    const error = ErrorSchema.safeParse(answer).data;
    if (error !== undefined) throw new ProviderError(error.error, error.message, error.retryAfterMs ?? null);
    if (limit.aborted) throw new ProviderError("timeout", `${argv[0]} was killed: it took too long`);
    if (ended !== "0") throw new ProviderError("ambiguous", `${argv[0]} ended with ${ended}: ${brief(said)}`);
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const where = issue?.path.join(".") ?? "";
    throw new ProviderError("ambiguous", `${argv[0]} answered what can't be read: ${where}: ${issue?.message}`);
  }

  return {
    kind: "command",
    async offers(signal) {
      const answer = await ask(options.offers, {}, OffersSchema, signal);
      balance = answer.balance ?? null;
      return answer.offers;
    },
    list: async (signal) => (await ask(options.list, {}, ListSchema, signal)).machines,
    create: async (order, signal) => (await ask(options.create, order, CreatedSchema, signal)).providerId,
    async destroy(providerId, signal) {
      await ask(options.destroy, { providerId }, z.unknown(), signal);
    },
    balance: () => Promise.resolve(balance),
  };
}

type Ended = { text: string; said: string; ended: string };

/** Runs a program in a group of its own, which is killed as a whole when `signal` says so. */
function run(argv: readonly string[], input: string, signal: AbortSignal): Promise<Ended> {
  const [program = "", ...args] = argv;
  const { promise, resolve } = Promise.withResolvers<Ended>();
  if (signal.aborted) return Promise.resolve({ text: "", said: "", ended: "no start" });
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  // Who doesn't read its input may still answer.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const out = gather(child.stdout, MAX_ANSWER_BYTES);
  const err = gather(child.stderr, MAX_SAID_BYTES);
  const kill = (): void => killGroup(child.pid);
  signal.addEventListener("abort", kill, { once: true });
  const done = (ended: string): void => {
    signal.removeEventListener("abort", kill);
    resolve({ text: out(), said: err(), ended });
  };
  child.once("error", (error) => done(error.message));
  child.once("close", (code, killed) => done(String(code ?? killed)));
  // What it left running may hold its output open.
  child.once("exit", (code, killed) => setTimeout(() => done(String(code ?? killed)), LATE_OUTPUT_MS).unref());
  return promise;
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // It is gone already.
  }
}

/** What a stream says, up to `maxBytes`; the rest is read and dropped. */
function gather(stream: Readable, maxBytes: number): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    if (bytes < maxBytes) chunks.push(chunk.subarray(0, maxBytes - bytes));
    bytes += chunk.length;
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
