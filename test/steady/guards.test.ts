/**
 * Guards on, for minutes: five accounts, three hosts and three models under `api-key`, `rate-limit`, `queue`,
 * `prompt-guard`, `content-safety` and an uploaded plugin, while settings change every ten seconds, a host is killed
 * and the uploaded plugin hangs.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { createPool } from "../../scripts/lib/pool.ts";
import { findPython, freePort } from "../../scripts/lib/preflight.ts";
import { createGarbageCollector } from "../../scripts/lib/soak/collect-garbage.ts";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { usageOf } from "../bench/lib/processes.ts";
import { median, quantile } from "../bench/lib/stats.ts";
import { createWebhookReceiver } from "../e2e/webhook-receiver.ts";
import { watchStalls } from "../stalls.ts";
import { createClient, hasEnded, viewOf } from "./guarded/client.ts";
import type { Answer, Client, View } from "./guarded/client.ts";
import { longestIdle } from "./guarded/idle.ts";
import type { Span } from "./guarded/idle.ts";
import { createOperator, HOLDS_AFTER_MS, limits } from "./guarded/settings.ts";
import { ASKERS, beFickle, beGreedy, beQuiet, beRude, faultOf } from "./guarded/traffic.ts";
import { FORBIDDEN } from "./guarded/words.ts";

const modelsDir = fileURLToPath(new URL("guarded/models", import.meta.url));
const MODELS = ["speaks", "plain", "slow"] as const;
const HOSTS = 3;
const ALONE_MS = 10_000;
const LASTS_MS = 80_000;
const CHANGES_EVERY_MS = 10_000;
/** Behind so many changes a host is killed, and the uploaded plugin hangs. */
const KILLS_AT = 4;
const HANGS_AT = 6;
/** How long a job may wait while a host has room for it. */
const IDLE_LIMIT_MS = 1000;
/** A job meets four processes: edge, pool, model, this one. A busy machine may hold up each as long as this one. */
const PROCESSES = 4;
/** A stall of which a guard may notice something. */
const HELD_UP_MS = 500;
/** A fair round on all hosts: what runs and what is about to, and one run of each account. */
const ROUND_MS = 3000;
const SEED = 12;
/** What a refusal by the limit on requests says, as JSON. */
const LIMIT_SAYS = JSON.stringify('The limit "own"').slice(1, -1);

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
}, 60_000);

it("guards for minutes while settings change, a host dies and a guard hangs", { timeout: 300_000 }, async () => {
  const lines: string[] = [];
  const inspectorPort = await freePort(0);
  const { stack, hosts } = await setUp((line) => lines.push(line), inspectorPort);
  const receiver = await createWebhookReceiver();
  ends.push(() => receiver.close());
  const operator = createOperator(stack, "objects");
  const answers: Answer[] = [];
  const clientOf = async (name: string) => createClient(stack.url, name, await operator.account(name), answers);
  const [quiet, greedy, fickle, rude, odd] = [
    await clientOf("quiet"),
    await clientOf("greedy"),
    await clientOf("fickle"),
    await clientOf("rude"),
    await clientOf("odd"),
  ];
  const clients = [quiet, greedy, fickle, rude, odd];
  await warm(createClient(stack.url, "local", stack.apiKey, []));

  const version = await operator.upload();
  const first = await operator.publish(version);
  await sleep(HOLDS_AFTER_MS);
  const random = seeded(SEED);
  const alone = await beQuiet(quiet, { goesOn: until(Date.now() + ALONE_MS), random });

  // All at once, and what goes wrong meanwhile.
  using stalls = watchStalls();
  const beganAt = Date.now();
  const traffic = { goesOn: until(beganAt + LASTS_MS), random };
  const memory = watchMemory(stack, inspectorPort, traffic.goesOn);
  let published = 0;
  let killedAt = Infinity;
  let hung: [number, number] = [Infinity, Infinity];
  const changes = [
    () => operator.publish(version, { maxTokens: 1000 + published }),
    () => operator.publish(version, { accounts: { fickle: { plugins: { "prompt-guard": null } } } }),
    () => operator.rollBack(first),
  ];
  async function change(): Promise<void> {
    for (let at = CHANGES_EVERY_MS; at < LASTS_MS; at += CHANGES_EVERY_MS) {
      await sleep(Math.max(0, beganAt + at - Date.now()));
      await changes[published % changes.length]?.();
      published += 1;
      if (published === KILLS_AT) {
        killedAt = Date.now();
        hosts[0]?.kill();
      }
      if (published === HANGS_AT) hung = await hang(odd);
    }
  }
  const [beside, said] = await Promise.all([
    beQuiet(quiet, traffic),
    beRude(rude, receiver.url, traffic),
    beGreedy(greedy, traffic),
    beFickle(fickle, traffic),
    change(),
    memory.done,
  ]);

  const during = [...answers];
  const stalledMs = (from: number, to: number): number => PROCESSES * stalls.within(from, to);

  // Nothing is left of it.
  for (const client of clients) {
    await expect.poll(async () => (await client.all()).filter((view) => !hasEnded(view)), PATIENT).toEqual([]);
  }
  const views = new Map<Client, View[]>();
  for (const client of clients) {
    views.set(client, await client.all());
    await expectNothingHeld(client);
  }

  // No answer is a fault but those of the guard that hung, and none of them is the quiet account's.
  const faults = during.filter(({ status }) => status >= 500);
  const excused = (one: Answer): boolean =>
    one.code === "guard_unavailable" && one.account !== "quiet" && one.answeredAt >= hung[0] && one.sentAt <= hung[1];
  // A guard whose machine stands still for longer than it may take could not decide, and blocks.
  const heldUp = (one: Answer): boolean =>
    one.code === "guard_unavailable" && stalls.within(one.sentAt, one.answeredAt) > HELD_UP_MS;
  expect(faults.filter((one) => !excused(one) && !heldUp(one)).map(summary)).toEqual([]);
  expect(faults.filter(excused).length).toBeGreaterThan(0);
  expect(during.filter((one) => one.account === "quiet" && one.status >= 400 && !heldUp(one)).map(summary)).toEqual([]);
  expect(
    [...alone, ...beside].filter(({ status, error_code: code }) => status !== "succeeded" && code !== "interrupted"),
  ).toEqual([]);

  // No window let more through than it may, and greed got all that there was.
  expectExactWindows(during.filter(({ account }) => account === "greedy"));

  // What was on the lists went nowhere.
  expect(said.flatMap((one) => faultOf(one) ?? [])).toEqual([]);
  expect(new Set(said.map((one) => `${one.action} ${one.in}`)).size).toBe(4);
  expect(answers.filter(({ text }) => FORBIDDEN.test(text)).map(summary)).toEqual([]);
  expect(receiver.received.filter(({ body }) => FORBIDDEN.test(body))).toEqual([]);
  expect(receiver.received.length).toBeGreaterThan(0);
  expect(lines.filter((line) => FORBIDDEN.test(line))).toEqual([]);

  // Nobody waited beside room, nor for another one's greed.
  const slots = (at: number): number => (at >= killedAt ? HOSTS - 1 : HOSTS);
  for (const model of MODELS) {
    const spans = [...views.values()]
      .flat()
      .filter((view) => view.model === `local/${model}`)
      .map(spanOf);
    expect(longestIdle(spans, slots, stalledMs), model).toBeLessThan(IDLE_LIMIT_MS);
  }
  const waits = beside.filter(({ attempt }) => attempt === 1).map((view) => waitedMs(view, stalledMs));
  expect(quantile(waits, 0.99)).toBeLessThan(ROUND_MS);
  memory.expectLevel();
  console.log(
    `guards │ ${[...views].map(([{ account }, own]) => `${account} ${own.length}`).join(", ")}; ${answers.length} answers, ` +
      `${faults.length} while the guard hung for ${hung[1] - hung[0]} ms; quiet waits p99 ${quantile(
        alone.map((view) => waitedMs(view)),
        0.99,
      )} ms ` +
      `alone, ${quantile(waits, 0.99)} ms beside the others; the machine late by up to ${stalls.longestMs().toFixed(0)} ms; workerd ${memory.text()}`,
  );
});

it("tells how long something waited beside room", () => {
  const span = (createdAt: number, startedAt: number | null, endedAt: number): Span => ({
    ...{ createdAt, startedAt, endedAt, lost: false },
  });
  expect(longestIdle([span(0, 2000, 3000)], () => 1)).toBe(2000);
  expect(longestIdle([span(0, 0, 3000), span(500, 3000, 4000)], () => 1)).toBe(0);
  expect(longestIdle([span(0, 0, 3000), span(500, null, 1700)], () => 2)).toBe(1200);
});

/** For what ends only with leases of a host that was killed. */
const PATIENT = { timeout: 60_000 };

async function setUp(say: (line: string) => void, inspectorPort: number) {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-guards-"));
  ends.push(() => rmSync(dir, { recursive: true, force: true }));
  const stack = await startStack({
    ...{ stateDir: join(dir, "state"), models: modelsDir, offline: true, allowLoopback: true, inspectorPort, say },
    poolEnv: { STEADY_HOST: "0" },
  });
  ends.push(() => stack.stop());
  const python = await findPython();
  const hosts = Array.from({ length: HOSTS - 1 }, (_, index) => {
    const host = {
      ...{ url: stack.url, token: stack.poolToken, models: modelsDir, stateDir: join(dir, `pool-${index}`), python },
      env: { EDGEPLANE_METRICS_PORT: "0", STEADY_HOST: String(index + 1) },
    };
    return createPool(host, say, () => {});
  });
  for (const pool of hosts) {
    pool.start();
    ends.push(() => pool.stop());
  }
  await Promise.all([stack.models.offered, ...hosts.map(({ offered }) => offered)]);
  return { stack, hosts };
}

/** Every host has run every model, so that each has room for it from then on. */
async function warm(client: Client): Promise<void> {
  for (const model of MODELS) {
    const ran = async () => {
      const input = { ...(model === "speaks" ? { before: "word ".repeat(60), after: "" } : { seconds: 0.5 }) };
      const made = await Promise.all(Array.from({ length: 2 * HOSTS }, () => client.predict(model, input)));
      const views = await Promise.all(made.map((one) => client.ended(viewOf(one).id)));
      return new Set(views.map(({ logs, output }) => (model === "speaks" ? logs : output))).size;
    };
    await expect.poll(ran, PATIENT).toBe(HOSTS);
  }
}

/** Has the uploaded plugin hang, until it judges again. Answers from when to when that was. */
async function hang(client: Client): Promise<[number, number]> {
  const from = Date.now();
  const { code } = await client.predict("plain", { before: "hang" });
  expect(code).toBe("guard_unavailable");
  for (;;) {
    const { status, answeredAt } = await client.predict("plain", {});
    if (status < 500) return [from, answeredAt];
    await sleep(200);
  }
}

/** Of slots none is held, and of cost as much is used as predictions of the account have begun. */
async function expectNothingHeld(client: Client): Promise<void> {
  const probe = async () => {
    const last = await client.predict("plain", {}, { headers: { prefer: "wait=60" } });
    if (last.status !== 201) return { code: last.code };
    const { id } = viewOf(last);
    const begun = (await client.all()).filter((view) => view.attempt > 0 && view.id !== id).length;
    return {
      slots: Number(last.headers.get("x-ratelimit-remaining-concurrency")) + 1,
      cost: limits.cost - Number(last.headers.get("x-ratelimit-remaining-cost")) - 1 - begun,
    };
  };
  await expect.poll(probe, { ...PATIENT, interval: 1000 }).toEqual({ slots: limits.concurrency, cost: 0 });
  // A slot comes back a moment after its prediction's end: each try waits for those of the one before.
  const fill = async () => {
    const made = await Promise.all(
      Array.from({ length: limits.unfinished }, () => client.predict("slow", { seconds: 3 })),
    );
    const refused = made.filter(({ status }) => status >= 300).length;
    if (refused > 0)
      await Promise.all(made.filter(({ status }) => status < 300).map((one) => client.ended(viewOf(one).id)));
    return refused;
  };
  await expect.poll(fill, { ...PATIENT, interval: 5000 }).toBe(0);
  expect((await client.predict("slow", { seconds: 3 })).code).toBe("queue_full");
}

/**
 * Of each window no more were accepted than the limit. Where that limit refused, no fewer were, but for what the greedy
 * account's askers may have held each when the window ended: what others refuse is given back.
 */
function expectExactWindows(answers: readonly Answer[]): void {
  const windowOf = (at: number): number => Math.floor(at / limits.windowMs);
  const accepted = ({ status }: Answer): boolean => status < 300;
  let exhausted = 0;
  for (const window of new Set(answers.map(({ sentAt }) => windowOf(sentAt)))) {
    const within = answers.filter((one) => windowOf(one.sentAt) === window && windowOf(one.answeredAt) === window);
    const touching = answers.filter((one) => windowOf(one.sentAt) <= window && windowOf(one.answeredAt) >= window);
    expect(within.filter(accepted).length).toBeLessThanOrEqual(limits.requests);
    if (!within.some(({ code, text }) => code === "account_limit_reached" && text.includes(LIMIT_SAYS))) continue;
    exhausted += 1;
    expect(touching.filter(accepted).length).toBeGreaterThanOrEqual(limits.requests - ASKERS);
  }
  expect(exhausted).toBeGreaterThan(0);
}

function watchMemory(stack: Stack, inspectorPort: number, goesOn: () => boolean) {
  const samples: number[] = [];
  const garbage = createGarbageCollector([inspectorPort]);
  const look = async (): Promise<void> => {
    while (goesOn()) {
      await garbage.collect();
      samples.push(usageOf(stack.pids().workerd ?? 0).rssBytes / 2 ** 20);
      await sleep(3000);
    }
    garbage.close();
  };
  const thirds = () => {
    const third = Math.floor(samples.length / 3);
    return [median(samples.slice(third, 2 * third)), median(samples.slice(-third))] as const;
  };
  return {
    done: look(),
    /** The first third is the warm-up. */
    expectLevel() {
      const [before, after] = thirds();
      expect(after - before, samples.map((mib) => mib.toFixed(0)).join(", ")).toBeLessThan(0.1 * before + 4);
    },
    text: () =>
      thirds()
        .map((mib) => mib.toFixed(0))
        .join(" and then ") + " MiB",
  };
}

function spanOf(view: View): Span {
  return {
    createdAt: Date.parse(view.created_at),
    startedAt: view.started_at === null ? null : Date.parse(view.started_at),
    endedAt: Date.parse(view.completed_at ?? view.created_at),
    lost: view.attempt > 1,
  };
}

/** `stalledMs`: how long the machine stood still between two times. */
function waitedMs(
  { created_at: createdAt, started_at: startedAt }: View,
  stalledMs = (_from: number, _to: number) => 0,
) {
  if (startedAt === null) return Infinity;
  const [from, to] = [Date.parse(createdAt), Date.parse(startedAt)];
  return to - from - stalledMs(from, to);
}

function summary({ account, sentAt, answeredAt, status, text }: Answer): string {
  return `${account} ${status} after ${answeredAt - sentAt} ms: ${text.slice(0, 300)}`;
}

function until(at: number): () => boolean {
  return () => Date.now() < at;
}

/** Numbers from 0 to 1, the same ones each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
