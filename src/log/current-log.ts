/** The log that is produced to now, as an isolate knows it: at most 10 s old. */
import type { DesiredLog } from "../contract/channel.ts";
import type { Env } from "../env.ts";
import { readLogSetting } from "../registry/log-settings.ts";
import type { LogSetting } from "../registry/log-settings.ts";
import { within } from "../shard/within.ts";
import { createProducer } from "./producer.ts";
import type { LogProducer } from "./types.ts";

/** How long pools read the log before a switch, besides the new one. */
export const READ_BOTH_MS = 60_000;
const MAX_AGE_MS = 10_000;
/** A database that doesn't answer by then counts as away: nothing would ever be produced by who waits for it. */
const READ_LIMIT_MS = 10_000;

export type CurrentLog = { setting: LogSetting; producer: LogProducer };

let known: (CurrentLog & { readAt: number }) | null = null;

/** The current log, of `leastEpoch` unless there is none such. Throws while nobody can say which it is. */
export async function currentLog(env: Env, leastEpoch = 0): Promise<CurrentLog> {
  const isNew = known !== null && known.setting.epoch >= leastEpoch && Date.now() - known.readAt < MAX_AGE_MS;
  if (known !== null && isNew) return known;
  // Each caller reads for itself: a read that an ended request has left behind never answers, and must hold up nobody
  // else.
  return read(env);
}

/** A setting that was just made or heard of. One that is older than what is known changes nothing. */
export function noteLogSetting(env: Env, setting: LogSetting): CurrentLog {
  if (known !== null && known.setting.epoch > setting.epoch) return known;
  const isSame = known?.setting.epoch === setting.epoch;
  known = {
    setting,
    producer: isSame && known !== null ? known.producer : createProducer(env, setting.choice),
    readAt: Date.now(),
  };
  return known;
}

/** The epoch as far as this isolate knows it, without asking; null: not at all. */
export function knownEpoch(): number | null {
  return known?.setting.epoch ?? null;
}

/** What pools are told of a setting. */
export function desiredLog({ epoch, choice }: LogSetting): DesiredLog {
  const desired = { epoch, driver: choice.driver, readBothMs: READ_BOTH_MS };
  if (choice.driver === "embedded") return desired;
  return { ...desired, url: choice.url, ...choice.pool };
}

/** The log that a pool is to read; nothing while the edge can't say: the pool stays with the one that it reads. */
export async function logToRead(env: Env): Promise<{ log?: DesiredLog }> {
  try {
    return { log: desiredLog((await currentLog(env)).setting) };
  } catch {
    return {};
  }
}

async function read(env: Env): Promise<CurrentLog> {
  try {
    return noteLogSetting(env, await within(readLogSetting(env), READ_LIMIT_MS));
  } catch (error) {
    // An older answer is better than none: whatever was switched meanwhile is handed on again.
    if (known === null) throw error;
    return known;
  }
}
