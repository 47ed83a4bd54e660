/** Plugins that come with a pushed version, as its owner, its callers and a pool meet them. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { call, callJson, newKey, testEnv } from "../../../test/worker/edge-harness.ts";
import { PluginGateway, pluginFiles } from "../../../test/worker/plugin-gateway.ts";

import { AUDIT_TOPIC, AuditRecordSchema } from "../../contract/published.ts";
import { createLogClient } from "../../log/client.ts";
import { PATIENCE } from "../../../test/patience.ts";

const gateway = new PluginGateway("plugins that were pushed");
const allowed = { pushed_plugins: { owners: ["*"], timeout_ms: 10_000 } };
let count = 0;
const anOwner = async () => gateway.owner(`plugin-owner-${(count += 1)}`);

const shouts = '({ input }) => ({ verdict: "continue", subject: { input: { text: input.text + "!" } } })';
const noSwearing = `({ input }) => input.text.includes("damn")
  ? { verdict: "reject", code: "rejected_by_policy", message: "Not here.", findings: [{ category: "c", rule: "damn" }] }
  : { verdict: "continue" }`;
const masks = `({ output }) => ({ verdict: "continue",
  ...(typeof output === "string" ? { subject: { output: output.replaceAll("secret", "[masked]") } } : {}) })`;
const inputOf = (body: Record<string, unknown>) => (body["input"] as { text?: string }).text;

async function audited() {
  const log = createLogClient(testEnv);
  const partitions = (await log.topics())[AUDIT_TOPIC] ?? 0;
  const places = Array.from({ length: partitions }, (_, partition) => ({ topic: AUDIT_TOPIC, partition, offset: 0 }));
  const records = partitions === 0 ? [] : await log.fetch(places, 0);
  return records.map(({ value }) => AuditRecordSchema.parse(JSON.parse(value)));
}

beforeEach(() => gateway.publish(allowed));
afterEach(() => void vi.restoreAllMocks());

describe("plugins of a pushed version", () => {
  it("screen the inputs of that version, and of no other", async () => {
    const owner = await anOwner();
    const plain = await owner.push({ "run.py": "1" });
    const guarded = await owner.push({ "run.py": "2", ...pluginFiles("loud", { screenInput: shouts }) });
    expect([guarded.status, await owner.view(guarded.version), await owner.view(plain.version)]).toMatchObject([
      201,
      {
        status: "live",
        plugins: [{ name: "loud", phases: ["screenInput"], fail_mode: "closed" }],
        plugin_problem: null,
      },
      { plugins: [] },
    ]);
    expect(inputOf((await owner.predict(guarded.version, { text: "hi" })).body)).toBe("hi!");
    expect(inputOf((await owner.predict(null, { text: "hi" })).body)).toBe("hi!");
    expect(inputOf((await owner.predict(plain.version, { text: "hi" })).body)).toBe("hi");
    // A canary between the two: what is tried goes without.
    await owner.call("PUT", "/aliases/latest", { canary: { version: plain.version, percent: 100 } });
    expect(inputOf((await owner.predict(null, { text: "hi" })).body)).toBe("hi");
  });

  it("refuse with their message, which is recorded as theirs", async () => {
    const owner = await anOwner();
    await gateway.publish({ ...allowed, plugins: { "webhook-log": {} } });
    const { version } = await owner.push(pluginFiles("clean", { screenInput: noSwearing }));
    const { status, body } = await owner.predict(version, { text: "damn" });
    expect([status, body["code"], body["detail"]]).toEqual([403, "rejected_by_policy", "Not here."]);
    expect((await owner.predict(version, { text: "fine" })).status).toBe(201);
    const [told] = await vi.waitFor(async () => {
      const records = await audited();
      expect(records).toHaveLength(1);
      return records;
    }, PATIENCE);
    expect(told).toMatchObject({ plugin: "pushed:clean", phase: "screenInput", action: "reject", version });
    expect(told).toMatchObject({ findings: [{ category: "c", rule: "damn" }] });
    await vi.waitFor(async () => {
      // An isolate tells its counts with its next look at the settings.
      await gateway.publish(allowed);
      await owner.predict(version, { text: "fine" });
      const metrics = await (
        await call("/admin/v1/metrics", { key: testEnv.ADMIN_KEY ?? "", env: gateway.env })
      ).text();
      expect(metrics).toContain('plugin="pushed",phase="screenInput",action="reject"');
      expect(metrics).not.toContain('plugin="pushed:clean"');
    }, PATIENCE);
  });

  it("screen outputs, logs and errors before anybody reads them, though no plugin of the operator's does", async () => {
    const owner = await anOwner();
    const { version } = await owner.push(pluginFiles("mask", { screenOutput: masks }));
    const { body } = await owner.predict(version, { text: "x" });
    const id = String(body["id"]);
    const { send } = await gateway.claim(id);
    expect(await send({ type: "output", chunk: "a secret" }, { type: "log", text: "secret\n" })).toMatchObject([
      { verdict: "ok" },
    ]);
    expect(await owner.get(id)).toMatchObject({ logs: "[masked]\n" });
    await send({ type: "succeeded", output: "the secret" });
    expect(await owner.get(id)).toMatchObject({ status: "succeeded", output: "the [masked]", logs: "[masked]\n" });
  });

  it("go on screening what was accepted when the version is deleted, and the operator allows them no longer", async () => {
    const owner = await anOwner();
    const { version } = await owner.push(pluginFiles("mask", { screenOutput: masks }));
    await owner.push({ "run.py": "another" });
    const started = async () => String((await owner.predict(version, { text: "x" })).body["id"]);
    const [first, second] = [await started(), await started()];
    expect((await owner.call("DELETE", `/versions/${version}`)).status).toBe(202);
    await (await gateway.claim(first)).send({ type: "succeeded", output: "secret" });
    expect(await owner.get(first)).toMatchObject({ status: "succeeded", output: "[masked]" });
    await gateway.publish({});
    await (await gateway.claim(second)).send({ type: "succeeded", output: "secret" });
    expect(await owner.get(second)).toMatchObject({ status: "failed", output: null });
  });

  it("are shown neither who calls nor how", async () => {
    const owner = await anOwner();
    const tells = '(call) => ({ verdict: "continue", subject: { input: { text: Object.keys(call).sort().join() } } })';
    const { version } = await owner.push(
      pluginFiles("tells", {
        screenInput: tells,
        screenOutput: tells.replaceAll(
          "input: { text: Object.keys(call).sort().join() }",
          "output: Object.keys(call).sort().join()",
        ),
      }),
    );
    const { body } = await owner.predict(version, { text: "x" });
    expect(inputOf(body)).toBe("input,inputBytes,model,predictionId");
    await (await gateway.claim(String(body["id"]))).send({ type: "succeeded", output: "x" });
    expect((await owner.get(String(body["id"])))["output"]).toBe("held,model,of,output,part,predictionId");
  });

  it("have their settings from config.json, and their turns from `after`", async () => {
    const owner = await anOwner();
    const adds = '({ input }) => ({ verdict: "continue", subject: { input: { text: input.text + config.tail } } })';
    const { version } = await owner.push({
      ...pluginFiles("a-second", { screenInput: adds }, { after: ["b-first"] }),
      ...pluginFiles("b-first", { screenInput: adds }),
      "plugins/a-second/config.json": '{"tail": " two"}',
      "plugins/b-first/config.json": '{"tail": " one"}',
    });
    expect(inputOf((await owner.predict(version, { text: "zero" })).body)).toBe("zero one two");
  });
});

describe("the operator", () => {
  const guard = { "content-safety": { config: { patterns: { card: "block" } } } };

  it.each([
    ["nobody's, unless it says so", {}, "pushed_plugins.owners"],
    ["those of named owners", { owners: ["somebody-else"] }, "pushed_plugins.owners"],
    ["so many", { owners: ["*"], max_plugins: 1 }, "max_plugins"],
    ["of some phases", { owners: ["*"], phases: ["screenOutput"] }, "pushed_plugins.phases"],
  ])("allows %s", async (_what, pushed_plugins, named) => {
    const owner = await anOwner();
    const files = {
      ...pluginFiles("one", { screenInput: shouts }),
      ...pluginFiles("two", { screenOutput: masks }),
    };
    const { version } = await owner.push(files);
    await gateway.publish({ pushed_plugins });
    const again = await owner.push({ ...files, "run.py": "later" });
    expect([again.status, again.body["code"], again.body["detail"]]).toEqual([
      403,
      "plugins_not_allowed",
      expect.stringContaining(named),
    ]);
    // What was pushed before isn't run without them.
    const { status, body } = await owner.predict(version, { text: "x" });
    expect([status, body["code"]]).toEqual([403, "plugins_not_allowed"]);
    expect((await owner.push({ "run.py": "plain" })).status).toBe(201);
  });

  it("has the first and the last word over inputs", async () => {
    const owner = await anOwner();
    await gateway.publish({ ...allowed, plugins: guard });
    const smuggles = '() => ({ verdict: "continue", subject: { input: { text: "4111 1111 1111 1111" } } })';
    const { version } = await owner.push(pluginFiles("smuggles", { screenInput: smuggles }));
    expect((await owner.predict(version, { text: "fine" })).body["code"]).toBe("rejected_by_policy");
    const allows = '() => ({ verdict: "continue", subject: { input: { text: "fine" } } })';
    const other = await owner.push(pluginFiles("allows", { screenInput: allows }));
    expect((await owner.predict(other.version, { text: "4111 1111 1111 1111" })).body["code"]).toBe(
      "rejected_by_policy",
    );
    expect((await owner.predict(other.version, { text: "hi" })).status).toBe(201);
  });

  it("sees what they do with a request before settings are published, and their owner is told of no fault", async () => {
    const owner = await anOwner();
    const faulty = '({ output }) => { if (output === "x") throw new Error("no"); return { verdict: "continue" }; }';
    const { version } = await owner.push({
      ...pluginFiles("loud", { screenInput: shouts }),
      ...pluginFiles("mask", { screenOutput: masks }),
      ...pluginFiles("faulty", { screenOutput: faulty }),
    });
    const simulate = async (settings: object, request: object) => {
      const model = { account: owner.name, model: `${owner.name}/m`, version };
      const body = { settings: { plugins: guard, ...settings }, request: { ...model, ...request } };
      const key = testEnv.ADMIN_KEY ?? "";
      return (await callJson("/admin/v1/settings/simulate", { key, env: gateway.env, body })).body;
    };
    const heard = await simulate(allowed, { input: { text: "hi" }, output: "a secret" });
    expect(heard).toMatchObject({ refused: null, input: { text: "hi!" }, output: "a [masked]" });
    const asked = (heard["phases"] as { phase: string; decisions: { plugin: string }[] }[]).map(
      ({ phase, decisions }) => [phase, decisions.map(({ plugin }) => plugin)],
    );
    // The operator's screen anew what one of these changed.
    expect(asked.slice(1)).toEqual([
      ["screenInput", ["content-safety"]],
      ["route", []],
      ["screenInput", ["pushed:loud"]],
      ["screenInput", ["content-safety"]],
      ["screenOutput", ["pushed:faulty", "pushed:mask", "content-safety"]],
      ["onResult", []],
    ]);
    const broken = await simulate(allowed, { input: { text: "hi" }, output: "x" });
    expect(broken["refused"]).toMatchObject({ phase: "screenOutput", code: "guard_unavailable" });
    const forbidden = await simulate({}, { input: { text: "hi" } });
    expect(forbidden["refused"]).toMatchObject({ phase: "screenInput", code: "plugins_not_allowed" });
    expect((await owner.view(version))["plugin_problem"]).toBeNull();
  });

  it("has the last word over outputs", async () => {
    const owner = await anOwner();
    await gateway.publish({ ...allowed, plugins: { "content-safety": { config: { patterns: { card: "mask" } } } } });
    const spells =
      '({ output }) => ({ verdict: "continue", subject: { output: String(output).replaceAll("_", "1111 ") } })';
    const { version } = await owner.push(pluginFiles("spells", { screenOutput: spells }));
    const id = String((await owner.predict(version, { text: "x" })).body["id"]);
    await (await gateway.claim(id)).send({ type: "succeeded", output: "4111 ___" });
    const { output } = await owner.get(id);
    expect(String(output)).not.toContain("1111");
    expect(String(output)).not.toContain("_");
  });
});

describe("an evil plugin", () => {
  const evil: [what: string, hook: string][] = [
    ["throws", '() => { throw new Error("told to throw") }'],
    ["answers nothing", "() => {}"],
    ["answers nonsense", '() => ({ verdict: "maybe" })'],
    ["hangs", "() => new Promise(() => {})"],
    ["waits too long", "() => new Promise((resolve) => setTimeout(resolve, 60_000))"],
    ["fetches", '() => fetch("https://example.com/")'],
    ["opens a WebSocket", '() => new Promise((_, reject) => { new WebSocket("wss://example.com").onerror = reject })'],
    ["connects", 'async () => (await import("cloudflare:sockets")).connect("example.com:80").opened'],
    ["spoofs the gateway's own refusals", '() => ({ verdict: "reject", code: "unauthenticated", message: "m" })'],
    [
      "answers more than it was asked",
      '() => ({ verdict: "continue", subject: { input: { text: "x".repeat(8e6) } } })',
    ],
  ];

  it("refuses what it guards, and its owner sees so; nobody else notices", { timeout: 120_000 }, async () => {
    const other = await anOwner();
    const neighbour = (await other.push(pluginFiles("loud", { screenInput: shouts }))).version;
    const asked = evil.map(async ([what, hook]) => {
      const owner = await gateway.owner(`evil-${what.replaceAll(/\W/g, "-").toLowerCase()}`);
      const files = pluginFiles("evil", { screenInput: hook }, { timeout_ms: 200 });
      const { version } = await owner.push(files);
      const [{ status, body }, plain] = [await owner.predict(version, { text: "x" }), await owner.push({})];
      await expect.poll(async () => (await owner.view(version))["plugin_problem"]).toContain("evil, screenInput: ");
      return [what, status, body["code"], (await owner.predict(plain.version, { text: "x" })).status];
    });
    const others = Array.from({ length: 5 }, async () => inputOf((await other.predict(neighbour, { text: "x" })).body));
    expect(await Promise.all(asked)).toEqual(evil.map(([what]) => [what, 503, "guard_unavailable", 201]));
    expect(new Set(await Promise.all(others))).toEqual(new Set(["x!"]));
    expect((await other.view(neighbour))["plugin_problem"]).toBeNull();
  });

  it("fails its own version's outputs alone, in the same request of a pool", async () => {
    const owner = await anOwner();
    const { version } = await owner.push(pluginFiles("evil", { screenOutput: '() => { throw new Error("no") }' }));
    const id = String((await owner.predict(version, { text: "x" })).body["id"]);
    await (await gateway.claim(id)).send({ type: "succeeded", output: "x" });
    expect(await owner.get(id)).toMatchObject({ status: "failed", output: null });
    expect(JSON.stringify(await owner.get(id))).toContain("guard_unavailable");
  });

  it("pollutes nothing of its host", async () => {
    const owner = await anOwner();
    const hook = `() => {
      Object.prototype.polluted = "yes"; JSON.stringify = () => '{"verdict":"continue","__proto__":{"polluted":"yes"},' +
        '"subject":{"__proto__":{"polluted":"yes"},"input":{"text":"x","__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}}}}}';
      return {};
    }`;
    const { version } = await owner.push(pluginFiles("pollutes", { screenInput: hook }));
    await owner.predict(version, { text: "x" });
    expect(Reflect.get({}, "polluted")).toBeUndefined();
    const { version: other } = await owner.push({ "run.py": "0", ...pluginFiles("loud", { screenInput: shouts }) });
    expect(inputOf((await owner.predict(other, { text: "x" })).body)).toBe("x!");
  });

  it("tells its owner nothing of other accounts' predictions", async () => {
    const owner = await anOwner();
    const tattles = "({ input }) => { throw new Error(input.text) }";
    await owner.push({ "run.py": "plain" });
    await testEnv.DB.prepare("UPDATE models SET visibility = 'public' WHERE owner LIKE 'plugin-owner-%'").run();
    const { version } = await owner.push(pluginFiles("tattles", { screenInput: tattles }));
    const stranger = await newKey("plugin-stranger");
    const logged = (["log", "warn", "error"] as const).map((method) => vi.spyOn(console, method));
    expect((await owner.predict(version, { text: "my prompt" }, stranger)).body["code"]).toBe("guard_unavailable");
    await expect.poll(async () => (await owner.view(version))["plugin_problem"]).toContain("could not decide");
    expect((await owner.view(version))["plugin_problem"]).not.toContain("my prompt");
    expect((await owner.view(version, stranger))["plugin_problem"]).toBeNull();
    const lines = logged.flatMap(({ mock }) => mock.calls.map((call) => call.join(" ")));
    expect(lines.join("\n")).toContain("pushed_plugin_failed");
    expect(lines.join("\n")).not.toContain("my prompt");
  });

  it("shares no memory with another version of the same code", async () => {
    const [one, two] = [await anOwner(), await anOwner()];
    const remembers = `(() => { let last = "nobody"; return ({ input }) => {
      const before = last; last = input.text; return { verdict: "continue", subject: { input: { text: before } } };
    }; })()`;
    const files = pluginFiles("remembers", { screenInput: remembers });
    const [first, second] = [await one.push(files), await two.push(files)];
    expect(first.version).toBe(second.version);
    await one.predict(first.version, { text: "of one" });
    expect(inputOf((await two.predict(second.version, { text: "of two" })).body)).toBe("nobody");
  });
});

describe("a push", () => {
  const good = pluginFiles("p", { screenInput: shouts });
  const manifest = (more: object) => ({
    ...good,
    "plugins/p/plugin.json": JSON.stringify({ name: "p", api_version: 1, phases: ["screenInput"], ...more }),
  });
  it.each([
    ["a manifest that is no JSON", { ...good, "plugins/p/plugin.json": "{" }, "plugins/p/plugin.json is no JSON"],
    ["a manifest that is empty", { ...good, "plugins/p/plugin.json": "" }, "plugins/p/plugin.json is empty"],
    ["another phase", manifest({ phases: ["authenticate"] }), "screenInput, screenOutput"],
    ["network", manifest({ network: ["example.com"] }), "have no network"],
    ["another name than its folder", manifest({ name: "q" }), 'names it "q"'],
    ["a name that can't be", pluginFiles("P_", { screenInput: shouts }), "can't be a plugin's name"],
    ["no module", { "plugins/p/plugin.json": good["plugins/p/plugin.json"] ?? "" }, "module.js is not there"],
    ["a module that is too large", { ...good, "plugins/p/module.js": `//${"x".repeat(262_144)}` }, "262144 may be"],
    ["a module that doesn't load", { ...good, "plugins/p/module.js": "export default {" }, "Unexpected end of input"],
    [
      "a module without the hook",
      { ...good, "plugins/p/module.js": "export default { setup: () => ({}) };" },
      "no hook",
    ],
    [
      "a set-up that throws",
      { ...good, "plugins/p/module.js": "export default { setup() { throw new Error('no list') } };" },
      "no list",
    ],
    ["settings that are no JSON", { ...good, "plugins/p/config.json": "x" }, "config.json is no JSON"],
    ["settings that nest too deep", { ...good, "plugins/p/config.json": "[".repeat(200) + "]".repeat(200) }, "nests"],
  ])("with %s is refused with the file and the reason, and nothing is registered", async (_what, files, reason) => {
    const owner = await gateway.owner("plugin-owner-refused");
    const { status, body, version } = await owner.push(files);
    expect([status, body["code"], body["detail"]]).toEqual([422, "plugin_invalid", expect.stringContaining(reason)]);
    expect((await owner.call("GET", `/versions/${version}`)).status).toBe(404);
  });

  it("of plugins that wait for each other, or for one that isn't there, is refused", async () => {
    const owner = await anOwner();
    const cycle = {
      ...pluginFiles("a", { screenInput: shouts }, { after: ["b"] }),
      ...pluginFiles("b", { screenInput: shouts }, { after: ["a"] }),
    };
    expect((await owner.push(cycle)).body["code"]).toBe("plugin_cycle");
    const alone = pluginFiles("a", { screenInput: shouts }, { requires: ["prompt-guard"] });
    expect((await owner.push(alone)).body["code"]).toBe("plugin_missing");
  });

  it("where no plugin can run says so", async () => {
    const bare = new PluginGateway("no loader", { LOADER: undefined as never });
    await bare.publish(allowed);
    const owner = await bare.owner("plugin-owner-bare");
    expect((await owner.push(good)).body["code"]).toBe("plugins_unavailable");
    expect((await callJson("/v1/models", { key: owner.key })).status).toBe(200);
  });
});
