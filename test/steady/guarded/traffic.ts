/** What the accounts do, each until it is told to stop. Everything that they are told is in their clients' answers. */
import { setTimeout as sleep } from "node:timers/promises";
import { viewOf } from "./client.ts";
import type { Client, View } from "./client.ts";
import { anyBlocked, anyMasked, wordOf } from "./words.ts";

const BEFORE = "We met at noon, and then ";
const AFTER = " came along, smiling.";

/** What was said with a word in it, and what may have become of it. `word`: as it was said. */
export type Said = { view: View; word: string; in: "output" | "logs"; action: "block" | "mask"; stream: string };

export type Traffic = { goesOn: () => boolean; random: () => number };

/** Asks at an even pace for a short run or a stream, and waits for it. Answers what became of each. */
export async function beQuiet(client: Client, { goesOn }: Traffic): Promise<View[]> {
  const views: View[] = [];
  for (let count = 0; goesOn(); count += 1) {
    const isStream = count % 3 === 2;
    const input = isStream ? { before: "It is a quiet day", after: " again." } : {};
    const answer = await client.predict(isStream ? "speaks" : "plain", input, { headers: { prefer: "wait=60" } });
    // A refusal is among the client's answers, and is judged there.
    if (answer.status < 300) {
      const view = viewOf(answer);
      views.push(view.status === "starting" ? await client.ended(view.id) : view);
    }
    await sleep(300);
  }
  return views;
}

/** Of the greedy account. */
export const ASKERS = 4;

/** Asks as fast as it is answered, and looks at nothing. */
export async function beGreedy(client: Client, { goesOn }: Traffic): Promise<void> {
  const ask = async (): Promise<void> => {
    while (goesOn()) {
      await client.predict("plain", { seconds: 0.05 });
      await sleep(20);
    }
  };
  await Promise.all(Array.from({ length: ASKERS }, ask));
}

/** Cancels, hangs up, and lets deadlines pass, at any moment. */
export async function beFickle(client: Client, { goesOn, random }: Traffic): Promise<void> {
  const cancel = async (): Promise<void> => {
    const answer = await client.predict("slow", { seconds: 2 });
    if (answer.status >= 300) return;
    await sleep(random() * 1500);
    await client.call("POST", `/v1/predictions/${viewOf(answer).id}/cancel`);
  };
  const hangUp = async (): Promise<void> => {
    const signal = AbortSignal.timeout(Math.ceil(random() * 400));
    await client.predict("slow", { seconds: 0.3 }, { headers: { prefer: "wait=60" }, signal });
  };
  const leaveStream = async (): Promise<void> => {
    const signal = AbortSignal.timeout(Math.ceil(random() * 400));
    const headers = { accept: "text/event-stream" };
    await client.predict("speaks", { before: BEFORE, after: AFTER }, { headers, signal });
  };
  const runOut = (): Promise<unknown> => client.predict("slow", { seconds: 30 }, { headers: { "cancel-after": "1s" } });
  const ways = [cancel, hangUp, leaveStream, runOut];
  const goOn = async (): Promise<void> => {
    while (goesOn()) {
      await ways[Math.floor(random() * ways.length)]?.();
      await sleep(50);
    }
  };
  await Promise.all([goOn(), goOn(), goOn()]);
}

/** Says what is on the lists: in inputs, outputs, streams and logs. Answers what it had the models say. */
export async function beRude(client: Client, hook: string, { goesOn, random }: Traffic): Promise<Said[]> {
  const said: Said[] = [];
  const inInput = async (): Promise<void> => {
    const isBlocked = random() < 0.5;
    const word = wordOf((isBlocked ? anyBlocked : anyMasked)(random()));
    await client.predict("plain", { before: BEFORE + word.toUpperCase(), after: AFTER });
  };
  const tooLong = (): Promise<unknown> => client.predict("plain", { before: "word ".repeat(4000) });
  const byModel = async (): Promise<void> => {
    const action = random() < 0.5 ? "block" : "mask";
    const number = (action === "block" ? anyBlocked : anyMasked)(random());
    const isStream = random() < 0.7;
    const logs = isStream && random() < 0.3;
    const dotted = isStream && random() < 0.4;
    const input = { before: BEFORE, after: AFTER, number, ...(isStream ? { dotted, logs } : {}) };
    const body = random() < 0.3 ? { webhook: `${hook}/${number}` } : {};
    const answer = await client.predict(isStream ? "speaks" : "plain", input, { body });
    if (answer.status >= 300) return;
    const { id } = viewOf(answer);
    const stream = client.call("GET", `/v1/predictions/${id}/stream`, undefined, {
      headers: { accept: "text/event-stream" },
    });
    const [view, { text }] = await Promise.all([client.ended(id), stream]);
    const word = dotted ? wordOf(number).split("").join(".") : wordOf(number);
    said.push({ view, word, in: logs ? "logs" : "output", action, stream: text });
  };
  const goOn = async (): Promise<void> => {
    for (let count = 0; goesOn(); count += 1) {
      if (count % 4 === 0) await inInput();
      else if (count % 7 === 5) await tooLong();
      else await byModel();
      await sleep(50);
    }
  };
  await Promise.all([goOn(), goOn()]);
  return said;
}

/** What is wrong with what came of it; null when nothing is. */
export function faultOf({ view, word, in: where, action, stream }: Said): string | null {
  const told = Array.isArray(view.output) ? view.output.join("") : String(view.output ?? "");
  const streamed = outputOf(stream);
  if (action === "mask" || view.error_code === "interrupted") {
    const covered = "*".repeat(word.length);
    const whole = BEFORE + (where === "logs" ? "" : covered) + AFTER;
    const logs = where === "logs" ? view.logs.includes(BEFORE + covered + AFTER) : true;
    const isRight = view.error_code === "interrupted" ? whole.startsWith(told) : told === whole && logs;
    return isRight && whole.startsWith(streamed) ? null : `not covered: ${JSON.stringify({ view, stream })}`;
  }
  const isRefused = view.status === "failed" && view.error_code === "rejected_by_policy";
  // A log ends its prediction whenever it is read; the output before it is what it is.
  const allowed = where === "logs" ? BEFORE + AFTER : BEFORE;
  return isRefused && allowed.startsWith(told) && allowed.startsWith(streamed)
    ? null
    : `not refused: ${JSON.stringify({ view, stream })}`;
}

/** The output of a stream of events, whose chunks of text have their lines apart. */
function outputOf(events: string): string {
  return [...events.matchAll(/^event: output\n((?:(?:id|data): ?.*\n)+)/gm)]
    .map(([, fields = ""]) => [...fields.matchAll(/^data: ?(.*)$/gm)].map(([, line]) => line).join("\n"))
    .join("");
}
