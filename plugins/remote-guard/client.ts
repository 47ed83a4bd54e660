/** Asks the service whether texts are to be flagged: in OpenAI's form or in a small one of our own. */
import * as z from "zod";
import { OpinionSchema } from "../kernel/opinions.ts";
import type { Opinion } from "../kernel/opinions.ts";
import type { Outbound } from "../kernel/services.ts";

export type Format = "openai" | "edgeplane";
export type Question = { texts: readonly string[]; direction: "input" | "output" };

type Settings = { url: string; format: Format; model: string | undefined; token: string | null; timeoutMs: number };

const MAX_ANSWER_BYTES = 1024 * 1024;

/** OpenAI's form (https://platform.openai.com/docs/api-reference/moderations/object), and the small one of our own. */
const AnswerSchema = z.object({ results: z.array(OpinionSchema) });

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
  const { results: opinions } = AnswerSchema.parse(JSON.parse(text));
  if (opinions.length !== texts.length)
    throw new Error(`the service gave ${opinions.length} opinions on ${texts.length} texts`);
  return opinions;
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
