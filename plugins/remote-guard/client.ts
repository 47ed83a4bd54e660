/** Asks the service whether texts are to be flagged: in OpenAI's form or in a small one of our own. */
import * as z from "zod";
import type { Outbound } from "../kernel/services.ts";

/** What the service said of one text; categories only of those that it flagged. */
export type Opinion = { flagged: boolean; categories: string[] };

export type Format = "openai" | "edgeplane";
export type Question = { texts: readonly string[]; direction: "input" | "output" };

type Settings = { url: string; format: Format; model: string | undefined; token: string | null; timeoutMs: number };

const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_CATEGORIES = 16;

/** https://platform.openai.com/docs/api-reference/moderations/object */
const OpenAiSchema = z.object({
  results: z.array(
    z.object({ flagged: z.boolean(), categories: z.record(z.string(), z.boolean().nullable()).default({}) }),
  ),
});
const OwnSchema = z.object({
  results: z.array(z.object({ flagged: z.boolean(), categories: z.array(z.string()).default([]) })),
});

/** One opinion a text, in their order. Throws when the service doesn't answer in time, or not in its form. */
export async function askService(fetch: Outbound["fetch"], settings: Settings, question: Question): Promise<Opinion[]> {
  const { url, format, model, token, timeoutMs } = settings;
  const { texts, direction } = question;
  const body = format === "openai" ? { input: texts, ...(model === undefined ? {} : { model }) } : { texts, direction };
  const answer = await fetch(format === "openai" ? `${url.replace(/\/+$/, "")}/moderations` : url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json",
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(timeoutMs),
    redirect: "manual",
  });
  const text = await readBounded(answer);
  if (answer.status !== 200) throw new Error(`the service answered ${answer.status}`);
  const opinions = parse(format, JSON.parse(text));
  if (opinions.length !== texts.length)
    throw new Error(`the service gave ${opinions.length} opinions on ${texts.length} texts`);
  return opinions;
}

function parse(format: Format, answer: unknown): Opinion[] {
  const { results } = format === "openai" ? OpenAiSchema.parse(answer) : OwnSchema.parse(answer);
  return results.map(({ flagged, categories }) => {
    const named = Array.isArray(categories)
      ? categories
      : Object.keys(categories).filter((name) => categories[name] === true);
    return { flagged, categories: flagged ? named.slice(0, MAX_CATEGORIES).map(shortName) : [] };
  });
}

/** Categories are recorded with predictions: what a service makes of them must not be a text. */
function shortName(category: string): string {
  return category.replaceAll(/[^\w/.-]+/g, "-").slice(0, 64) || "flagged";
}

async function readBounded(answer: Response): Promise<string> {
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = answer.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes += next.value.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      await reader.cancel();
      throw new Error(`the service's answer is over ${MAX_ANSWER_BYTES} bytes`);
    }
    text += decoder.decode(next.value, { stream: true });
  }
  return text + decoder.decode();
}
