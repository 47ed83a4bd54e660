/**
 * Whether usage counts once: what accounts and the operator read is what the records add up to, and each start of a
 * prediction has its record. `judgeUsage` is pure.
 */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { callAdmin } from "../../../scripts/lib/local-accounts.ts";
import { OVERHEAD_ACCOUNT } from "../../../src/metering/record.ts";
import type { AttemptRecord, MeterRecord } from "../../../src/metering/record.ts";
import { isFinished } from "./client.ts";
import type { View } from "./client.ts";
import { readUsage, sumOf } from "./usage-records.ts";
import type { Sums, UsageRecords } from "./usage-records.ts";

const SETTLE_MS = 30_000;
const LOOK_EVERY_MS = 200;

/** A prediction as it ended, and how often a model began to work on it. */
export type Ended = { view: Pick<View, "id" | "status" | "attempt">; runs: number };
/** What was read of an account, in as many ways as there are. */
export type AccountRead = { account: string; read: Readonly<Record<string, Sums>> };
/** Whose usage is read: `key` reads its own account's. */
export type Reader = { account: string; key: string };

/** Where the edge is, and the operator's key. */
export type Operator = { url: string; adminKey: string };

/** What is not as it should be, a line each. */
export function judgeUsage(
  records: readonly MeterRecord[],
  accounts: readonly AccountRead[],
  predictions: readonly Ended[],
): string[] {
  const byAccount = Map.groupBy(records, ({ account }) => account);
  const known = new Set(accounts.map(({ account }) => account));
  const strangers = [...byAccount.keys()].filter((account) => !known.has(account));
  const attempts = Map.groupBy(
    records.filter((record) => record.kind === "attempt"),
    ({ prediction }) => prediction,
  );
  return [
    ...strangers.map((account) => `usage: there are records of an account that nobody reads: ${account}`),
    ...accounts.flatMap(({ account, read }) => problemsOfSums(account, read, sumOf(byAccount.get(account) ?? []))),
    ...predictions.flatMap((one) => problemsOfAttempts(one, attempts.get(one.view.id) ?? [])),
  ];
}

function problemsOfSums(account: string, read: AccountRead["read"], told: Sums): string[] {
  return Object.entries(read)
    .filter(([, sums]) => JSON.stringify(sums) !== JSON.stringify(told))
    .map(
      ([where, sums]) =>
        `usage: ${where} of ${account} says ${JSON.stringify(sums)}, the records ${JSON.stringify(told)}`,
    );
}

/** Its starts have a record each; the last one's is told once it ended; one is billed at most, and each result's is. */
function problemsOfAttempts({ view, runs }: Ended, records: readonly AttemptRecord[]): string[] {
  if (!isFinished(view)) return [];
  const { id, status, attempt } = view;
  const [corrections, base] = [true, false].map((is) =>
    records.filter(({ flags }) => flags.includes("correction") === is),
  );
  if (corrections === undefined || base === undefined) return [];
  // A correction says anew how its attempt ended.
  const corrected = new Set(corrections.map((record) => record.attempt));
  const billed = [...corrections, ...base.filter((record) => !corrected.has(record.attempt))].filter(
    (one) => one.billed,
  );
  const has = (n: number) => base.some((record) => record.attempt === n);
  const problems: string[] = [];
  if (base.length < runs) problems.push(`ran ${runs} times and has ${base.length} records`);
  if (base.length > attempt || base.some((record) => record.attempt > attempt || record.attempt < 1))
    problems.push(`made ${attempt} attempts and has records of ${base.map((record) => record.attempt).join()}`);
  if (new Set(base.map((record) => record.attempt)).size < base.length) problems.push("has an attempt recorded twice");
  if ([...corrected].some((n) => !has(n))) problems.push("has a correction of nothing");
  if ((runs > 0 || status === "succeeded") && !has(attempt)) problems.push(`has no record of its attempt ${attempt}`);
  if (billed.length > 1 || (status === "succeeded" && billed.length === 0))
    problems.push(`${status}, and ${billed.length} of its attempts are billed`);
  if (sumOf(records).billed !== billed.length)
    problems.push(`has ${billed.length} of its attempts billed, and adds ${sumOf(records).billed}`);
  if (billed.some((record) => record.attempt !== attempt)) problems.push("has an attempt billed that did not end it");
  return problems.map((problem) => `usage: ${id} ${problem}: ${JSON.stringify(records.map(shown))}`);
}

function shown({ attempt, outcome, billed, flags, gpuUs }: AttemptRecord): object {
  return { attempt, outcome, billed, flags, gpuUs };
}

const AccountsSchema = z.object({ results: z.array(z.looseObject({ id: z.string(), name: z.string() })) });

/** The id of an account. */
export async function accountNamed({ url, adminKey }: Operator, name: string): Promise<string> {
  const { results } = AccountsSchema.parse(await callAdmin(url, adminKey, "GET", "accounts", undefined));
  const found = results.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no account ${name}`);
  return found.id;
}

/** Reads until nothing is wrong, which takes as long as records are on their way; answers what is wrong then. */
export async function settleUsage(
  { url, adminKey }: Operator,
  usage: UsageRecords,
  readers: readonly Reader[],
  predictions: readonly Ended[],
): Promise<string[]> {
  const giveUpAt = Date.now() + SETTLE_MS;
  const operator = (account: string, by: string) =>
    readUsage(url, adminKey, `/admin/v1/usage?account=${account}&by=${by}`);
  async function look(): Promise<string[]> {
    await usage.collect();
    const accounts = await Promise.all([
      ...readers.map(async ({ account, key }) => {
        const own = await readUsage(url, key, "/v1/usage?by=hour&group=model,key,device,deployment,phase");
        const told = await operator(account, "day");
        return { account, read: { "GET /v1/usage": own, "GET /admin/v1/usage": told } };
      }),
      operator(OVERHEAD_ACCOUNT, "day").then((told) => ({
        account: OVERHEAD_ACCOUNT,
        read: { "GET /admin/v1/usage": told },
      })),
    ]);
    return [
      ...[...usage.torn].map((id) => `usage: two records have the id ${id}`),
      ...judgeUsage([...usage.records.values()], accounts, predictions),
    ];
  }

  for (;;) {
    // An edge, or a log, that was killed a moment ago may refuse a read.
    const problems = await look().catch((error: unknown) => [`usage: it can't be read: ${String(error)}`]);
    if (problems.length === 0 || Date.now() > giveUpAt) return problems;
    await sleep(LOOK_EVERY_MS);
  }
}
