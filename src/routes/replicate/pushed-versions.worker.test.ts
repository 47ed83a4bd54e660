/** What was pushed and isn't live can't be pointed to; what is pointed to, pools keep ready. */
import { beforeAll, expect, it, vi } from "vitest";
import { createCountedEnv } from "../../../test/worker/counted-env.ts";
import { admin, callJson, newKey, testEnv } from "../../../test/worker/edge-harness.ts";
import { pathOf, push, SCHEMA } from "../../../test/worker/pushing.ts";
import { ManifestSchema } from "../../contract/manifest.ts";
import { registerManifests } from "../../registry/registration.ts";
import { PATIENCE } from "../../../test/patience.ts";

let key = "";
let token = "";
beforeAll(async () => {
  key = await newKey("pointer");
  token = String((await admin("/pool-tokens", { lanes: ["default"], owners: ["pointer"] }))["token"]);
});

const live = { manifest: { schema: SCHEMA } };
const model = (name: string) => ({ owner: "pointer", name, key });
const send = (method: string, name: string, more: string, body: unknown) =>
  callJson(`${pathOf(model(name))}${more}`, { method, key, body });
const isDesired = async (version: string) => {
  const { body } = await callJson("/pool/v1/models", { key: token });
  const models = body["models"] as { manifest: { version: string }; isLive: boolean }[];
  return models.find(({ manifest }) => manifest.version === version)?.isLive;
};

it("a pending or failed version is refused with its reason, wherever it would be pointed to", async () => {
  await push(model("waiting"), { a: "live" }, live);
  const { version } = await push(model("waiting"), { a: "pending" });
  const refused = async () => {
    const deployment = { name: "w", model: "pointer/waiting", hardware: "cpu", min_instances: 0, max_instances: 1 };
    const answers = await Promise.all([
      send("PUT", "waiting", "/aliases/latest", { version }),
      send("PUT", "waiting", "/aliases/stable", { version }),
      send("PUT", "waiting", "/aliases/latest", { canary: { version, percent: 5 } }),
      send("PUT", "waiting", "/routes", { rules: [{ version }] }),
      callJson("/v1/deployments", { key, body: { ...deployment, version } }),
    ]);
    for (const { status, body } of answers) expect([status, body["code"]]).toEqual([409, "version_pending"]);
    return answers.map(({ body }) => String(body["detail"]));
  };
  for (const detail of await refused()) expect(detail).toContain("is not live yet");
  const problem = { stage: "setup", problem: "no such weights", log: "" };
  await callJson(`/pool/v1/models/pointer/waiting/versions/${version}/problem`, { key: token, body: problem });
  for (const detail of await refused()) expect(detail).toContain("no such weights");
});

it("a version is kept ready while a canary tries it, or a rule names it", async () => {
  const { version: base } = await push(model("ready"), { a: "base" }, live);
  const { version } = await push(model("ready"), { a: "other" }, { ...live, latest: false });
  expect([await isDesired(base), await isDesired(version)]).toEqual([true, false]);
  await send("PUT", "ready", "/aliases/latest", { canary: { version, percent: 5 } });
  expect(await isDesired(version)).toBe(true);
  await send("PUT", "ready", "/aliases/latest", { canary: null });
  expect(await isDesired(version)).toBe(false);
  await send("PUT", "ready", "/routes", { rules: [{ percent: 5, version }] });
  expect(await isDesired(version)).toBe(true);
  await send("PUT", "ready", "/routes", { rules: [] });
  expect(await isDesired(version)).toBe(false);
});

it("pools are told of what is pointed to, and of what is deleted", async () => {
  const { version } = await push(model("told"), { a: "told" }, live);
  const { env, calls } = createCountedEnv(testEnv);
  const told = async (method: string, more: string, body?: unknown) => {
    const before = calls["LANE.nudge"] ?? 0;
    await callJson(`${pathOf(model("told"))}${more}`, { method, key, env, ...(body === undefined ? {} : { body }) });
    await vi.waitFor(() => expect(calls["LANE.nudge"] ?? 0).toBe(before + 1), PATIENCE);
  };
  await told("PUT", "/aliases/stable", { version });
  await told("PUT", "/routes", { rules: [] });
  await told("DELETE", `/versions/${version}?force=true`);
});

it("a push moves `latest`, and rolling back finds the version before", async () => {
  const { version: first } = await push(model("pushed"), { a: "first" }, live);
  const { version: second } = await push(model("pushed"), { a: "second" }, live);
  const read = async () => (await callJson(`${pathOf(model("pushed"))}/aliases/latest`, { key })).body;
  expect((await read())["version"]).toBe(second);
  const back = await callJson(`${pathOf(model("pushed"))}/aliases/latest/rollback`, { method: "POST", key });
  expect(back.body["version"]).toBe(first);
});

it.each([
  ["promoted", (first: string) => send("PUT", "promoted", "/aliases/latest", { version: first })],
  ["returned", () => callJson(`${pathOf(model("returned"))}/aliases/latest/rollback`, { method: "POST", key })],
])("a push that was pending when its owner %s another version leaves `latest` alone", async (name, decide) => {
  const { version: first } = await push(model(name), { a: "first" }, live);
  await push(model(name), { a: "second" }, live);
  const { version: pending } = await push(model(name), { a: "pending" });
  expect((await decide(first)).status).toBe(200);
  const manifest = ManifestSchema.parse({ owner: "pointer", name, version: pending, schema: SCHEMA });
  const registrar = { lanes: ["default"], owners: ["pointer"], isolation: "namespaces" as const };
  expect(await registerManifests(testEnv, registrar, [manifest])).toEqual([]);
  const { body } = await callJson(`${pathOf(model(name))}/versions/${pending}`, { key });
  expect(body["edgeplane"]).toMatchObject({ status: "live" });
  expect((await callJson(`${pathOf(model(name))}/aliases/latest`, { key })).body["version"]).toBe(first);
});

it("rolling back leaves out a version that was deleted and pushed again, while it is pending", async () => {
  const { version: first } = await push(model("again"), { a: "first" }, live);
  const { version: second } = await push(model("again"), { a: "second" }, live);
  await push(model("again"), { a: "third" }, live);
  await send("DELETE", "again", `/versions/${second}?force=true`, {});
  await push(model("again"), { a: "second" });
  const back = await callJson(`${pathOf(model("again"))}/aliases/latest/rollback`, { method: "POST", key });
  expect(back.body["version"]).toBe(first);
});
