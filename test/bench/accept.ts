/**
 * Accept only, 32 clients: `Prefer: respond-async` while no pool is there, beside a bare Worker → object → one-row
 * write in the same kind of Miniflare. Rounds alternate; the ratio is of the medians. What BullMQ's `add` does behind
 * the same Hono is printed beside.
 *
 *     node test/bench/accept.ts [--rounds 5] [--seconds 3] [--port 18660]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startStack } from "../../scripts/lib/stack.ts";
import { startBare } from "./lib/bare.ts";
import { benchFolder, installPeers, startBullmq } from "./lib/bullmq.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { judge } from "./lib/limits.ts";
import { runLoad } from "./lib/load.ts";
import { machine, redisVersion, versions } from "./lib/machine.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    port: { type: "string", default: "18660" },
  },
});
const port = Number(values.port);
const stateDir = mkdtempSync(join(tmpdir(), "edgeplane-bench-accept-"));
installPeers();
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd"])}, ${versions(["bullmq"], benchFolder)}, ${redisVersion()}`);

const peer = await startBullmq(port);
const bare = await startBare(port + 5, stateDir);
const stack = await startStack({ port: port + 6, stateDir, models: echoModels(stateDir) });
try {
  const run = await echoRequest(stack);
  await stack.stopPool();
  const { body } = run;
  const sides = {
    Edgeplane: { ...run, headers: { ...run.headers, prefer: "respond-async" }, expect: '"starting"' },
    "bare write": { url: bare.url, headers: {}, body, expect: '"starting"' },
    "BullMQ add": {
      url: `${peer.url}/add`,
      headers: { authorization: `Bearer ${peer.apiKey}` },
      body,
      expect: '"starting"',
    },
  };
  const names = Object.keys(sides) as (keyof typeof sides)[];
  const rates: Record<keyof typeof sides, number[]> = { Edgeplane: [], "bare write": [], "BullMQ add": [] };
  const p50: Record<keyof typeof sides, number[]> = { Edgeplane: [], "bare write": [], "BullMQ add": [] };
  for (const name of names) await runLoad({ ...sides[name], clients: 32, durationMs: 1500 });
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    for (const name of names) {
      const load = await runLoad({ ...sides[name], clients: 32, durationMs: Number(values.seconds) * 1000 });
      rates[name].push(load.perSecond);
      p50[name].push(load.p50Ms);
      console.log(
        `round ${round} ${name.padEnd(10)} ${load.perSecond.toFixed(0)}/s p50 ${load.p50Ms.toFixed(1)} p99 ${load.p99Ms.toFixed(1)} ms`,
      );
    }
  }
  const ratio = median(rates.Edgeplane) / median(rates["bare write"]);
  console.log(
    table(
      ["accept, 32 clients", "per second", "p50 ms"],
      names.map((name) => [name, spread(rates[name], 0), spread(p50[name], 1)]),
    ),
  );
  const { isMet, text } = judge(ratio, { must: 1.2, aim: 1.5, isFloor: true, unit: "×" });
  console.log(`Edgeplane / bare write: ${ratio.toFixed(2)}× (${text})`);
  process.exitCode = isMet ? 0 : 1;
} finally {
  await stack.stop();
  await bare.stop();
  await peer.stop();
  rmSync(stateDir, { recursive: true, force: true });
}
