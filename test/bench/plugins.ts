/**
 * What guards cost: the pipeline with `api-key`, `rate-limit`, `queue` and `content-safety` (20,000 words, personal
 * data) in front of an upstream, beside the Portkey gateway with its guards off in front of the same one, the same
 * Worker without plugins, and with one uploaded plugin more. Rounds alternate.
 *
 *     node test/bench/plugins.ts [--rounds 5] [--seconds 3] [--port 18690]
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as z from "zod";
import { startGuardedEdge } from "./lib/guarded-edge.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import { runLoad } from "./lib/load.ts";
import { machine, versions } from "./lib/machine.ts";
import { portkeyFolder, startPortkey } from "./lib/portkey.ts";
import { usageOf } from "./lib/processes.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    port: { type: "string", default: "18690" },
  },
});
const port = Number(values.port);
const WORDS = 20_000;
const CPU_REQUESTS = 20_000;
const CHAT = {
  id: "chat-1",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "Hello there." }, finish_reason: "stop" }],
  usage: { prompt_tokens: 20, completion_tokens: 3, total_tokens: 23 },
};
const ASKED = JSON.stringify({
  model: "m",
  messages: [
    { role: "system", content: "You are a helpful assistant that answers in one sentence." },
    { role: "user", content: "Tell me, please, how the tides come about, and why there are two of them a day." },
  ],
});
const UploadedSchema = z.object({ version: z.string() });

const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-plugins-"));
console.log(`machine: ${machine()}`);

const upstream = await startUpstream();
const portkey = await startPortkey(port, `${upstream.url}/v1`);
console.log(`versions: ${versions(["miniflare", "workerd"])}, ${versions(["@portkey-ai/gateway"], portkeyFolder)}`);
const edge = await startGuardedEdge(port + 1, stateDir, `${upstream.url}/v1/chat/completions`);
try {
  const guards = {
    "api-key": {},
    "rate-limit": { config: { limits: [{ name: "minute", per: "account", limit: 1_000_000_000 }] } },
    queue: { config: { depth: 1_000_000 } },
    "content-safety": {
      config: {
        lists: [{ name: "words", category: "insult", action: "block", terms: madeUpWords(WORDS) }],
        patterns: { card: "block", resident_id: "block", api_key: "block", iban: "block", email: "mask", phone: "tag" },
      },
    },
  };
  const version = await upload();
  const uploaded = { plugins: { ...guards, quick: { config: {} } }, uploads: { quick: { version } } };
  const settings = { guarded: { plugins: guards }, uploaded };
  const bearer = { authorization: `Bearer ${edge.apiKey}` };
  const sides = {
    upstream: { url: `${upstream.url}/v1/chat/completions`, headers: {} },
    Portkey: { url: portkey.url, headers: portkey.headers },
    "no plugins": { url: `${edge.url}/bench/bare`, headers: bearer },
    guarded: { url: `${edge.url}/bench/guarded`, headers: bearer },
    "guarded, one uploaded": { url: `${edge.url}/bench/guarded`, headers: bearer },
  };
  type Side = keyof typeof sides;
  const names = Object.keys(sides) as Side[];
  const none = (): Record<Side, number[]> => ({
    upstream: [],
    Portkey: [],
    "no plugins": [],
    guarded: [],
    "guarded, one uploaded": [],
  });
  const rates = none();
  const p50 = none();
  const durationMs = Number(values.seconds) * 1000;
  const load = (name: Side, clients: number, forMs: number) =>
    runLoad({ ...sides[name], body: ASKED, clients, durationMs: forMs, expect: "Hello there." });
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    for (const name of names) {
      if (name === "guarded") await edge.publish(settings.guarded);
      if (name === "guarded, one uploaded") await edge.publish(settings.uploaded);
      await load(name, 32, 1000);
      const many = await load(name, 32, durationMs);
      const lone = await load(name, 1, durationMs);
      rates[name].push(many.perSecond);
      p50[name].push(lone.p50Ms);
      console.log(
        `round ${round} ${name.padEnd(22)} ${many.perSecond.toFixed(0)}/s at 32, p50 ${lone.p50Ms.toFixed(2)} ms at 1`,
      );
    }
  }
  console.log(
    table(
      ["", "requests/s, 32 clients", "p50 ms, 1 client"],
      names.map((name) => [name, spread(rates[name], 0), spread(p50[name], 2)]),
    ),
  );
  await edge.publish(settings.guarded);
  const cpuMs = await guardsCpuMs((name, requests) =>
    runLoad({ ...sides[name], body: ASKED, clients: 32, requests, expect: "Hello" }),
  );
  const added = (name: Side): number => median(p50[name]) - median(p50.upstream);
  const isMet = printJudged(
    ["", "figure", "must"],
    [
      ["requests/s, of Portkey's", ratio(rates.guarded, rates.Portkey), judged(rates.guarded, rates.Portkey, 2)],
      [
        "requests/s, of no plugins",
        ratio(rates.guarded, rates["no plugins"]),
        judged(rates.guarded, rates["no plugins"], 0.6),
      ],
      [
        "added p50, of Portkey's",
        `${added("guarded").toFixed(2)} of ${added("Portkey").toFixed(2)} ms`,
        judge(added("guarded") / added("Portkey"), { must: 0.5, unit: "×" }),
      ],
      [
        "an uploaded plugin adds, p50",
        `${(median(p50["guarded, one uploaded"]) - median(p50.guarded)).toFixed(2)} ms`,
        judge(median(p50["guarded, one uploaded"]) - median(p50.guarded), { must: 1, unit: " ms" }),
      ],
      ["the guards' CPU of workerd a request", `${cpuMs.toFixed(3)} ms`, judge(cpuMs, { must: 0.3, unit: " ms" })],
    ],
  );
  process.exitCode = isMet ? 0 : 1;

  /** What the guards take of workerd's CPU: the difference over 20,000 requests, by turns of 2,000. */
  async function guardsCpuMs(run: (name: Side, requests: number) => Promise<unknown>): Promise<number> {
    const turn = 2000;
    const used = { guarded: 0, "no plugins": 0 };
    for (let done = 0; done < CPU_REQUESTS; done += turn) {
      for (const name of ["guarded", "no plugins"] as const) {
        const before = usageOf(edge.pid() ?? 0).cpuMs;
        await run(name, turn);
        used[name] += usageOf(edge.pid() ?? 0).cpuMs - before;
      }
    }
    return (used.guarded - used["no plugins"]) / CPU_REQUESTS;
  }
} finally {
  await edge.stop();
  portkey.stop();
  upstream.stop();
  rmSync(stateDir, { recursive: true, force: true });
}

function ratio(one: readonly number[], other: readonly number[]): string {
  return `${(median(one) / median(other)).toFixed(2)}×`;
}

function judged(one: readonly number[], other: readonly number[], must: number) {
  return judge(median(one) / median(other), { must, isFloor: true, unit: "×" });
}

async function upload(): Promise<string> {
  const manifest = { name: "quick", api_version: 1, phases: ["admit"], judges: true };
  const module = 'export default { setup: () => ({ admit: () => ({ verdict: "continue" }) }) };';
  return UploadedSchema.parse(await edge.admin("POST", "/plugins", { manifest, module })).version;
}

/** Words that stand in no text: consonants and vowels by turns, seeded. */
function madeUpWords(count: number): string[] {
  let seed = 7;
  const next = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  const words = new Set<string>();
  while (words.size < count) {
    let word = "";
    for (let pair = 0; pair < 3 + next(3); pair += 1)
      word += ("bcdfghjklmnpqrstvwxz"[next(20)] ?? "") + ("aeiou"[next(5)] ?? "");
    words.add(`${word}x`);
  }
  return [...words];
}

async function startUpstream(): Promise<{ url: string; stop(): void }> {
  const script = fileURLToPath(new URL("lib/empty-server.mjs", import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(CHAT)], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await new Promise<[string]>((resolve) =>
    createInterface(child.stdout).once("line", (text) => resolve([text])),
  );
  return { url: `http://127.0.0.1:${line}`, stop: () => void child.kill("SIGKILL") };
}
