/** Uploaded plugins through the Worker Loader: what they may do, and what their answers may do. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { aCall } from "../../plugins/kernel/conformance.ts";
import { newTrail, runPhase } from "../pipeline/run-phase.ts";
import { buildSnapshot } from "../../plugins/kernel/snapshot.ts";
import type { Json } from "../contract/prediction.ts";
import type { Env } from "../env.ts";
import { createLoaderRunner } from "./loader-runner.ts";
import { hashOf, ManifestSchema } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { uploadedPlugin } from "./uploaded-plugin.ts";

const { LOADER } = env as unknown as Env;
const gates: string[][] = [];

async function snapshotOf(code: string, manifest: Partial<Manifest> = {}, config: Json = {}) {
  if (LOADER === undefined) throw new Error("the tests have no Worker Loader");
  const runner = createLoaderRunner(LOADER, ({ hosts }) => {
    gates.push(hosts);
    return { fetch: async () => new Response("gate") } as unknown as Fetcher;
  });
  const full = ManifestSchema.parse({ name: "tried", api_version: 1, phases: ["admit"], ...manifest });
  const upload = { hash: await hashOf(full, code), manifest: full, code };
  return buildSnapshot(1, [uploadedPlugin({ upload, network: [] }, runner, "at once")], { tried: { config } }, {});
}

const hookOf = (hook: string): string => `export default { setup: ({ config }) => ({ admit: ${hook} }) };`;

async function admit(hook: string, manifest: Partial<Manifest> = {}) {
  const trail = newTrail();
  const subject = await runPhase(await snapshotOf(hookOf(hook), manifest), "admit", aCall({ text: "hello" }), trail);
  return { subject, trail };
}

describe("an uploaded plugin", () => {
  it("changes what it may change, and nothing else", async () => {
    const { subject } = await admit(
      '(call) => ({ verdict: "continue", subject: { ...call, input: { text: "bye" }, principal: { accountId: "other" }, model: 7 } })',
    );
    expect(subject).toEqual({ ...aCall({ text: "bye" }), inputBytes: aCall({ text: "hello" }).inputBytes });
  });

  it("refuses with its code and message, and is recorded", async () => {
    const hook =
      '() => ({ verdict: "reject", code: "rejected_by_policy", message: "Not today.", findings: [{ category: "c", rule: "r" }] })';
    await expect(admit(hook)).rejects.toMatchObject({ code: "rejected_by_policy", message: "Not today." });
  });

  it.each([
    ["throws", '() => { throw new Error("no") }'],
    ["answers nothing", "() => {}"],
    ["answers nonsense", '() => ({ verdict: "maybe" })'],
    ["refuses with a code of the gateway's own", '() => ({ verdict: "reject", code: "internal", message: "m" })'],
    ["reserves what it may not", '() => ({ verdict: "continue", headers: { "set-cookie": "a=b" } })'],
    ["changes to what can't be", '() => ({ verdict: "continue", subject: { priority: "highest" } })'],
    ["goes to the network", '() => fetch("https://example.com/")'],
    ["hangs", "() => new Promise(() => {})"],
    ["answers too much", '() => ({ verdict: "continue", subject: { cost: Infinity } })'],
  ])("that %s blocks, and lets pass where it shall fail open", async (_what, hook) => {
    const manifest = { timeout_ms: 500 };
    await expect(admit(hook, manifest)).rejects.toMatchObject({ code: "guard_unavailable" });
    const { subject } = await admit(hook, { ...manifest, fail_mode: "open" });
    expect(subject).toEqual(aCall({ text: "hello" }));
  });

  it("reserves nothing", async () => {
    const { trail } = await admit(
      '() => ({ verdict: "continue", reservation: { service: "allowance", id: "x", data: null } })',
    );
    expect(trail.reservations).toEqual([]);
  });

  it.each([
    ["export default {", {}, "Unexpected end of input"],
    ["export default 7;", {}, "default export"],
    ["export default { setup: () => ({}) };", {}, "no hook for it"],
    ["export default { setup: () => { throw new Error('no weights') } };", {}, "no weights"],
    [hookOf('() => ({ verdict: "continue" })'), { most: "many" }, "most"],
  ])("%s can't be published", async (code, config, reason) => {
    const config_schema = { type: "object", properties: { most: { type: "number" } } };
    const publishing = snapshotOf(code, { config_schema }, config);
    await expect(publishing).rejects.toMatchObject({ code: "plugin_invalid" });
    await expect(publishing).rejects.toThrow(reason);
  });

  it("that only judges can't change", async () => {
    const hook = '(call) => ({ verdict: "continue", subject: { cost: 2 } })';
    await expect(admit(hook, { judges: true })).rejects.toMatchObject({ code: "guard_unavailable" });
  });

  it("keeps its settings apart from those of another snapshot", async () => {
    const code = hookOf('() => ({ verdict: "continue", subject: { cost: config.cost } })');
    const [one, two] = [await snapshotOf(code, {}, { cost: 1 }), await snapshotOf(code, {}, { cost: 2 })];
    expect((await runPhase(one, "admit", aCall())).cost).toBe(1);
    expect((await runPhase(two, "admit", aCall())).cost).toBe(2);
  });
});
