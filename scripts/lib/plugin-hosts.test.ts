/** Each uploaded plugin runs in a workerd of its own, and one that hangs or dies harms nobody else. */
import { afterEach, expect, test } from "vitest";
import { PluginHosts } from "./plugin-hosts.ts";
import type { HostAnswer } from "./plugin-hosts.ts";

const MODULE = `export default { setup: ({ config }) => ({
  admit: ({ act }) => {
    if (act === "loop") for (;;);
    if (act === "say") return { verdict: "continue", said: config.word };
    throw new Error("told to throw");
  },
  route: async () => (await fetch("https://example.com/")).status,
  screenInput: async () => (await fetch("http://127.0.0.1:1/")).status,
}) };`;

let nowMs = 0;
const started: PluginHosts[] = [];

/** How long a module may load where that is not the point. */
const LOADS_MS = 15_000;

function hostsOf(startLimitMs = LOADS_MS, maxHosts = 16): PluginHosts {
  const hosts = new PluginHosts({
    maxHosts,
    say: () => {},
    onProcess: () => {},
    hasNetwork: false,
    startLimitMs,
    now: () => nowMs,
  });
  started.push(hosts);
  return hosts;
}

afterEach(() => {
  for (const hosts of started.splice(0)) hosts.stop();
});

function up(answer: HostAnswer): { url: string; token: string } {
  if ("problem" in answer) throw new Error(answer.problem);
  return answer;
}

const problemOf = (answer: HostAnswer): string => ("problem" in answer ? answer.problem : "none");

async function run(host: HostAnswer, phase: string, subject: object, token = up(host).token): Promise<unknown> {
  const answer = await fetch(`${up(host).url}/run`, {
    method: "POST",
    body: JSON.stringify({ config: { word: "hello" }, phase, subject }),
    headers: { authorization: `Bearer ${token}` },
  });
  return answer.ok ? answer.json() : answer.status;
}

const load = (hosts: PluginHosts, key: string, code = MODULE): Promise<HostAnswer> =>
  hosts.start({ key, code, network: [], pushedBy: null });

test("a hook runs with its settings, and nobody calls it without the token", async () => {
  const host = await load(hostsOf(), "a");
  expect(await run(host, "admit", { act: "say" })).toEqual({ value: '{"verdict":"continue","said":"hello"}' });
  expect(await run(host, "admit", { act: "throw" })).toEqual({ error: "Error: told to throw" });
  expect(await run(host, "admit", { act: "say" }, "guessed")).toBe(403);
});

test("a plugin that was granted no host reaches none", async () => {
  const host = await load(hostsOf(), "a");
  expect(await run(host, "route", {})).toEqual({ value: "403" });
  expect(await run(host, "screenInput", {})).toEqual({ value: "403" });
});

test("a plugin that loops for ever is ended, its neighbour answers on, and it is started again until it is quarantined", async () => {
  const hosts = hostsOf();
  const neighbour = await load(hosts, "neighbour");
  for (let strike = 0; strike < 3; strike += 1) {
    const host = await load(hosts, "loops");
    const hung = run(host, "admit", { act: "loop" }).catch(() => "gone");
    await expect.poll(() => answersSoon(host)).toBe(false);
    expect(await run(neighbour, "admit", { act: "say" })).toHaveProperty("value");
    // It may not loop yet: a machine that stands still answers no ping either.
    let answer: unknown;
    void hung.then((is) => (answer = is));
    await expect
      .poll(async () => {
        await hosts.suspect("loops");
        return answer;
      })
      .toBe("gone");
    await expect.poll(async () => (await load(hosts, "loops")) === host).toBe(false);
  }
  expect(problemOf(await load(hosts, "loops"))).toContain("in quarantine");
  nowMs += 600_001;
  expect(await load(hosts, "loops")).toHaveProperty("url");
});

test("a plugin that came with a model and takes all memory is ended or refused it, and its neighbour answers on", async () => {
  const hosts = hostsOf();
  const hoards = `const kept = []; export default { setup: () => ({
    screenInput: () => { for (;;) kept.push(new Array(4e6).fill(0.5)); },
    screenOutput: () => { for (;;) kept.push(new Uint8Array(1e8).fill(1)); },
  }) };`;
  const neighbour = await load(hosts, "neighbour");
  for (const phase of ["screenInput", "screenOutput"]) {
    const host = await hosts.start({ key: `hoards in ${phase}`, code: hoards, network: [], pushedBy: "o" });
    const answer = await run(host, phase, {}).catch(() => "gone");
    expect(JSON.stringify(answer)).toMatch(phase === "screenInput" ? /gone/ : /RangeError: Array buffer allocation/);
    expect(await run(neighbour, "admit", { act: "say" })).toHaveProperty("value");
  }
});

test("plugins that came with models take no room from the operator's", async () => {
  const hosts = hostsOf(LOADS_MS, 1);
  const operators = await load(hosts, "operator's");
  const pushed = Array.from({ length: 2 }, (_, index) => ({ key: `pushed ${index}`, code: MODULE, network: [] }));
  for (const one of pushed) await hosts.start({ ...one, pushedBy: "o" });
  expect(await load(hosts, "operator's")).toEqual(operators);
  expect(await run(operators, "admit", { act: "say" })).toHaveProperty("value");
});

test("an owner with many plugins ends none of another's", async () => {
  const hosts = hostsOf(LOADS_MS, 2);
  const start = (pushedBy: string, key: string): Promise<HostAnswer> =>
    hosts.start({ key, code: MODULE, network: [], pushedBy });
  const quiet = await start("quiet", "quiet's");
  for (const key of ["one", "two", "three"]) await start("greedy", key);
  expect(await start("quiet", "quiet's")).toEqual(quiet);
  expect(await run(quiet, "admit", { act: "say" })).toHaveProperty("value");
});

test("a plugin that is only slow is not ended", async () => {
  const hosts = hostsOf();
  const slow = MODULE.replace('if (act === "loop") for (;;);', "return new Promise(() => {});");
  const isKept = async (): Promise<boolean> => {
    const host = await load(hosts, "slow", slow);
    run(host, "admit", {}).catch(() => {});
    await hosts.suspect("slow");
    return up(await load(hosts, "slow")).url === up(host).url && (await answersSoon(host));
  };
  // A machine that stands still for half a second makes it look as if it computed: once is no proof.
  expect((await isKept()) || (await isKept())).toBe(true);
});

test.each([
  ["that is no JavaScript", "export default {", "SyntaxError", LOADS_MS],
  ["that throws as it loads", "throw new Error('at load')", "at load", LOADS_MS],
  ["that never ends loading", "for (;;);", "did not finish loading", 1500],
])("a module %s is told so", async (_what, code, problem, limitMs) => {
  expect(problemOf(await load(hostsOf(limitMs), "bad", code))).toContain(problem);
});

async function answersSoon(host: HostAnswer): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(300);
    const answer = await fetch(`${up(host).url}/ping`, {
      headers: { authorization: `Bearer ${up(host).token}` },
      signal,
    });
    return answer.ok;
  } catch {
    return false;
  }
}
