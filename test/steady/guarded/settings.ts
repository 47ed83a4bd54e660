/** The settings of the run, as they are published and changed while it goes on. */
import * as z from "zod";
import type { Stack } from "../../../scripts/lib/stack.ts";
import { lists } from "./words.ts";

export const limits = { requests: 40, windowMs: 10_000, concurrency: 6, unfinished: 5, cost: 1_000_000 };
/** Every window of it began long before the run, and ends long after it. */
const COST_WINDOW_MS = 360 * 86_400_000;
/** What is published holds for requests that begin so much later. */
export const HOLDS_AFTER_MS = 5000;

/** One input makes it compute for ever; it judges all others by nothing. */
const HANGS = `export default { setup: () => ({ admit: ({ input }) => {
  if (input.before === "hang") for (;;);
  return { verdict: "continue" };
} }) };`;
const MANIFEST = { name: "hangs", api_version: 1, phases: ["admit"], judges: true, timeout_ms: 5000 };

const MadeSchema = z.looseObject({ key: z.string().optional(), version: z.string().optional() });
const PublishedSchema = z.looseObject({ number: z.number() });

export type Operator = ReturnType<typeof createOperator>;

export function createOperator(stack: Stack, store: "objects" | "redis") {
  async function admin(path: string, body: object): Promise<unknown> {
    const answer = await fetch(`${stack.url}/admin/v1/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${stack.adminKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }

  function settings(version: string, { maxTokens = 1000, accounts = {} }: Change): object {
    const own = { name: "own", per: "account" } as const;
    const { requests, windowMs, concurrency, unfinished, cost } = limits;
    return {
      plugins: {
        "api-key": {},
        "rate-limit": {
          config: {
            store,
            limits: [
              { ...own, limit: requests, algorithm: "fixed-window", windowMs },
              { ...own, name: "running", of: "concurrency", limit: concurrency },
              { ...own, name: "cost", of: "cost", limit: cost, algorithm: "fixed-window", windowMs: COST_WINDOW_MS },
            ],
          },
        },
        queue: { config: { depth: 1000, unfinished } },
        "prompt-guard": { config: { maxTokens } },
        "content-safety": { config: { lists, patterns: { card: "block", email: "mask" } } },
        hangs: { config: {} },
      },
      accounts: { quiet: { plugins: { hangs: null } }, ...accounts },
      uploads: { hangs: { version } },
    };
  }

  return {
    async account(name: string): Promise<string> {
      await admin("accounts", { name });
      return MadeSchema.parse(await admin("keys", { account: name, name })).key ?? "";
    },

    /** The version of the plugin that hangs. */
    async upload(): Promise<string> {
      return MadeSchema.parse(await admin("plugins", { manifest: MANIFEST, module: HANGS })).version ?? "";
    },

    /** Answers the number. */
    async publish(version: string, change: Change = {}): Promise<number> {
      const body = { settings: settings(version, change), why: "the steady run" };
      return PublishedSchema.parse(await admin("settings", body)).number;
    },

    async rollBack(number: number): Promise<void> {
      await admin("settings/rollback", { number, why: "the steady run" });
    },
  };
}

type Change = { maxTokens?: number; accounts?: Record<string, object> };
