/**
 * The two ways home side by side: predictions through a stack that delivers by HTTP, and through one that parks its
 * events in a real Redis behind the bridge (`delivery: kv`). Rounds alternate between the two; ratios are of the
 * medians. Needs redis-server.
 *
 *     node test/bench/delivery.ts [--rounds 5] [--requests 150]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startStack } from "../../scripts/lib/stack.ts";
import { startKv } from "../conformance/bridge/kv.ts";
import { echoModels, echoRequest } from "./lib/edgeplane.ts";
import { offerHelp } from "./lib/help.ts";
import { runLoad } from "./lib/load.ts";
import { machine, redisVersion, versions } from "./lib/machine.ts";
import { median, spread, table } from "./lib/stats.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, requests: { type: "string", default: "150" } },
});
const CLIENTS = [1, 32] as const;

console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["miniflare", "workerd", "@upstash/redis", "ioredis"])}, ${redisVersion()}`);

const dir = mkdtempSync(join(tmpdir(), "edgeplane-bench-delivery-"));
const kv = await startKv();
const models = echoModels(dir);
const stacks = {
  http: await startStack({ stateDir: join(dir, "http"), models, allowLoopback: true }),
  kv: await startStack({ stateDir: join(dir, "kv"), models, allowLoopback: true, ...kv.stack }),
};
try {
  const loads = { http: await echoRequest(stacks.http), kv: await echoRequest(stacks.kv) };
  const rows: string[][] = [];
  for (const clients of CLIENTS) {
    const requests = Number(values.requests) * (clients === 1 ? 1 : 6);
    const p50: Record<keyof typeof loads, number[]> = { http: [], kv: [] };
    const rate: Record<keyof typeof loads, number[]> = { http: [], kv: [] };
    for (const load of Object.values(loads)) await runLoad({ ...load, clients, requests });
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const way of ["http", "kv"] as const) {
        const result = await runLoad({ ...loads[way], clients, requests });
        p50[way].push(result.p50Ms);
        rate[way].push(result.perSecond);
      }
    }
    const ratio = (of: Record<keyof typeof loads, number[]>) => `${(median(of.kv) / median(of.http)).toFixed(2)}×`;
    rows.push(
      [`p50 ms, ${clients} clients`, spread(p50.http, 1), spread(p50.kv, 1), ratio(p50)],
      [`predictions/s, ${clients} clients`, spread(rate.http, 0), spread(rate.kv, 0), ratio(rate)],
    );
  }
  console.log(table(["", "http", "kv", "kv / http"], rows));
} finally {
  await Promise.all([stacks.http.stop(), stacks.kv.stop()]);
  await kv.stop();
  rmSync(dir, { recursive: true, force: true });
}
