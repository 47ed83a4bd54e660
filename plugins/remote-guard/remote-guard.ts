/**
 * `remote-guard`: an HTTP service decides on texts of inputs and outputs: any that speaks OpenAI's moderations, or the
 * small JSON contract of README.md. Answers are remembered for a while, texts of concurrent calls go in one question,
 * and a service that fails is left alone for some seconds; meanwhile the guard blocks, unless it shall fail open.
 */
import * as z from "zod";
import { definePlugin } from "../kernel/define-plugin.ts";
import { judgedOf, piecesOf, verdictOf } from "../kernel/opinions.ts";
import type { Opinion } from "../kernel/opinions.ts";
import { judge, proceed } from "../kernel/phases.ts";
import { sha256Hex } from "../kernel/secret.ts";
import { isStreamedText, stepOf, windowSettings } from "../kernel/text-window.ts";
import { passagesOf } from "../kernel/texts.ts";
import { createTtlCache } from "../kernel/ttl-cache.ts";
import { Batches } from "./batches.ts";
import { Breaker } from "./breaker.ts";
import { askService } from "./client.ts";

const HOOK_TIMEOUT_MS = 10_000;
const MAX_TEXTS = 256;
const CACHED_OPINIONS = 5000;
const DATA_URI = /^data:[\w/+.-]{1,100};base64,[A-Za-z0-9+/]+={0,2}$/;

export const remoteGuard = definePlugin({
  name: "remote-guard",
  apiVersion: 1,
  phases: ["screenInput", "screenOutput"],
  needs: ["outbound", "secrets"],
  timeoutMs: HOOK_TIMEOUT_MS,
  config: z.strictObject({
    url: z
      .url({ protocol: /^https?$/ })
      .max(2000)
      .meta({
        description: "Of the service; with `openai` its base, such as https://api.openai.com/v1.",
      }),
    format: z.enum(["openai", "edgeplane"]).default("openai"),
    model: z
      .string()
      .max(200)
      .optional()
      .meta({ description: "What `openai` is asked for, such as omni-moderation-latest." }),
    secret: z
      .string()
      .regex(/^PLUGIN_[A-Z0-9_]{1,60}$/, "a name that begins with PLUGIN_")
      .optional()
      .meta({ description: "The secret of the deployment that goes along as a bearer token." }),
    on: z.enum(["input", "output", "both"]).default("both"),
    allowedCategories: z.array(z.string()).max(100).default([]).meta({
      description: "A text that is flagged for these alone passes, and is recorded.",
    }),
    skipFiles: z.boolean().default(true).meta({
      description: "A text that is a base64 data URI from end to end is taken for a file, and not judged.",
    }),
    timeoutMs: z.int().min(10).max(HOOK_TIMEOUT_MS).default(2000),
    cacheMs: z
      .int()
      .min(0)
      .max(86_400_000)
      .default(300_000)
      .meta({ description: "How long an answer holds; 0: not at all." }),
    batchTexts: z.int().min(1).max(MAX_TEXTS).default(32).meta({ description: "Texts in one question, at most." }),
    maxCharacters: z.int().min(100).max(1_000_000).default(20_000).meta({
      description: "Longer texts are judged in pieces of this length.",
    }),
    ...windowSettings,
    breakerFailures: z.int().min(1).max(1000).default(5),
    breakerMs: z.int().min(1000).max(600_000).default(10_000),
  }),
  example: { url: "https://moderation.example.com/judge", format: "edgeplane" },
  setup({ config, services }) {
    const token = config.secret === undefined ? null : services.secrets.get(config.secret);
    const breaker = new Breaker(config.breakerFailures, config.breakerMs);
    const cache = createTtlCache<Opinion>(CACHED_OPINIONS);
    const settings = {
      url: config.url,
      format: config.format,
      model: config.model,
      token,
      timeoutMs: config.timeoutMs,
    };
    const batchesOf = (direction: "input" | "output") =>
      new Batches(
        (texts) => breaker.run(() => askService(services.outbound.fetch, settings, { texts, direction })),
        config.batchTexts,
        config.timeoutMs,
      );
    const window = { windowCharacters: config.windowCharacters, overlapCharacters: config.overlapCharacters };
    const batches = { input: batchesOf("input"), output: batchesOf("output") };

    /** The opinions on texts, by text; those that are remembered aren't asked for. */
    async function opinionsOn(direction: "input" | "output", texts: readonly string[]): Promise<Opinion[]> {
      const keyed = await Promise.all(
        texts.map(async (text) => ({ text, key: await sha256Hex(`${direction}\n${text}`) })),
      );
      const known = keyed.flatMap(({ key }) => cache.get(key) ?? []);
      if (known.length === texts.length) return known;
      const asked = keyed.filter(({ key }) => cache.get(key) === undefined);
      const opinions = await batches[direction].judge(asked.map(({ text }) => text));
      for (const [index, { key }] of asked.entries()) {
        const opinion = opinions[index];
        if (opinion === undefined) throw new Error("there is no opinion on a text");
        if (config.cacheMs > 0) cache.set(key, opinion, config.cacheMs);
      }
      return [...known, ...opinions];
    }

    /** The findings of all texts, and whether one of them is refused. */
    async function judged(direction: "input" | "output", texts: readonly string[]) {
      const read = config.skipFiles ? texts.filter((text) => !DATA_URI.test(text)) : texts;
      const pieces = [
        ...new Set(read.flatMap((text) => piecesOf(text, config.maxCharacters, config.overlapCharacters))),
      ];
      const opinions = await opinionsOn(direction, pieces);
      return judgedOf(opinions, config.allowedCategories, "remote-guard");
    }

    return {
      screenInput: judge(async ({ input }) => {
        if (config.on === "output") return proceed;
        return verdictOf(await judged("input", passagesOf(input, true)), refusalOf("input"), {});
      }),
      async screenOutput(part) {
        if (config.on === "input") return proceed;
        if (!isStreamedText(part)) {
          return verdictOf(await judged("output", passagesOf(part.output, false)), refusalOf("output"), {});
        }
        const step = stepOf(part, window);
        const change = { subject: { ...part, output: step.output }, held: step.held };
        if (step.judge === null) return { verdict: "continue", ...change };
        return verdictOf(await judged("output", [step.judge]), refusalOf("output"), change);
      },
    };
  },
});

function refusalOf(what: string): string {
  return `A moderation service refused the ${what}.`;
}
