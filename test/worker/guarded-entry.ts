/**
 * The product's Worker with a way of its own through the pipeline: `POST /bench/guarded` runs the phases that a
 * prediction's acceptance runs over an OpenAI chat body, then asks the upstream; `POST /bench/bare` only asks it.
 */
import type { Call, PredictionCall } from "../../plugins/kernel/phases.ts";
import type { Env } from "../../src/env.ts";
import worker from "../../src/index.ts";
import { newTrail, runPhase } from "../../src/pipeline/run-phase.ts";
import { leaseSnapshot } from "../../src/settings/current.ts";

export * from "../../src/index.ts";

type BenchEnv = Env & { UPSTREAM: string; PLUGIN_HOSTS: Fetcher };

export default {
  ...worker,
  async fetch(request: Request, env: BenchEnv, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/bench/guarded") return guarded(request, env);
    if (pathname === "/bench/bare") return ask(env, await request.text());
    return worker.fetch(request, env, ctx);
  },
};

async function guarded(request: Request, env: BenchEnv): Promise<Response> {
  const text = await request.text();
  const lease = await leaseSnapshot(env);
  try {
    const trail = newTrail();
    const call: Call = {
      requestId: crypto.randomUUID(),
      method: request.method,
      path: "/bench/guarded",
      clientIp: "192.0.2.1",
      header: (name) => request.headers.get(name) ?? undefined,
      headers: () => Object.fromEntries(request.headers),
      principal: null,
    };
    const { principal } = await runPhase(lease.snapshot, "authenticate", call, trail);
    if (principal === null) return new Response("who calls?", { status: 401 });
    const hooks = await lease.snapshot.of(principal.accountId, "local/echo");
    const asked = JSON.parse(text) as PredictionCall["input"];
    let current: PredictionCall = {
      requestId: call.requestId,
      predictionId: call.requestId,
      principal,
      clientIp: call.clientIp,
      model: { owner: "local", name: "echo", version: "0".repeat(64) },
      lane: "default",
      priority: "normal",
      cost: 1,
      input: asked,
      inputBytes: text.length,
      startTimeoutMs: 60_000,
      totalTimeoutMs: 120_000,
      deterministic: false,
    };
    for (const phase of ["admit", "screenInput", "route"] as const)
      current = await runPhase(hooks, phase, current, trail);
    const isSame = current.input === asked;
    return await ask(env, isSame ? text : JSON.stringify(current.input), trail.headers);
  } finally {
    lease.release();
  }
}

/**
 * Straight to the network, as a deployed Worker's `fetch` goes. The local stack's own way out leads through another
 * Worker, which keeps it from private networks.
 */
async function ask(env: BenchEnv, body: string, headers: Record<string, string> = {}): Promise<Response> {
  const answer = await env.PLUGIN_HOSTS.fetch(env.UPSTREAM, {
    method: "POST",
    body,
    headers: { "content-type": "application/json" },
  });
  return new Response(answer.body, { headers: { "content-type": "application/json", ...headers } });
}
