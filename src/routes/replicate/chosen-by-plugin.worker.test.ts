/** A plugin that chooses the version in `route`, as a client meets it. */
import { beforeAll, expect, it } from "vitest";
import { callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Env } from "../../env.ts";

const [OLD, NEW, NOBODYS] = ["1", "2", "3"].map((digit) => digit.repeat(64)) as [string, string, string];
const schemaOf = (maxLength: number) => ({
  components: { schemas: { Input: { type: "object", properties: { text: { type: "string", maxLength } } } } },
});
const getByName = () => testEnv.SETTINGS.getByName("a plugin that chooses the version");
const env: Partial<Env> = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
const operator = { key: testEnv.ADMIN_KEY ?? "", env };
let key = "";

/** Its input names the version that a prediction gets. */
const code = `export default { setup: () => ({
  route: (call) => call.input.version === undefined
    ? { verdict: "continue" }
    : { verdict: "continue", subject: { model: { owner: "nobody", version: call.input.version } } },
}) };`;

beforeAll(async () => {
  key = await newKey("chooser");
  await offer({
    owner: "chooser",
    name: "chosen",
    version: OLD,
    schema: schemaOf(4),
    lane: "slow",
    totalTimeoutMs: 60_000,
  });
  await offer({ owner: "chooser", name: "chosen", version: NEW, schema: schemaOf(8), totalTimeoutMs: 30_000 });
  const manifest = { name: "choose", api_version: 1, phases: ["route"] };
  const uploaded = await callJson("/admin/v1/plugins", { ...operator, body: { manifest, module: code } });
  const version = String(uploaded.body["version"]);
  const settings = { plugins: { "api-key": {}, choose: {} }, uploads: { choose: { version } } };
  const published = await callJson("/admin/v1/settings", { ...operator, body: { settings, why: "a test" } });
  if (published.status !== 201) throw new Error(`the settings are refused: ${JSON.stringify(published.body)}`);
});

const predict = (input: object, more: object = {}) =>
  callJson("/v1/predictions", { key, env, body: { version: "chooser/chosen", input, ...more } });

it("gives the prediction that version, with its lane and time-outs, whatever else it says of the model", async () => {
  const usual = await predict({ text: "hi" });
  expect(usual.body).toMatchObject({ model: "chooser/chosen", version: NEW });
  const { status, body } = await predict({ text: "hi", version: OLD });
  expect([status, body["model"], body["version"]]).toEqual([201, "chooser/chosen", OLD]);
  const lastsMs = (answer: Record<string, unknown>): number =>
    Date.parse(String(answer["deadline"])) - Date.parse(String(answer["created_at"]));
  expect([lastsMs(usual.body), lastsMs(body)]).toEqual([30_000, 60_000]);
  const asked = await predict({ text: "hi", version: OLD }, { timeout: 45 });
  expect(lastsMs(asked.body)).toBe(45_000);
  const onLane = await FakePool.open(["slow"]);
  expect((await onLane.claim(String(body["id"]))).verdict).toBe("granted");
});

it("is refused where the version isn't there, or doesn't take the input", async () => {
  for (const [input, field] of [
    [{ version: NOBODYS }, "version"],
    [{ version: "latest" }, "version"],
    [{ text: "too long", version: OLD }, "input.text"],
  ] as const)
    expect((await predict(input)).body).toMatchObject({ code: "changed_input_invalid", invalid_fields: [{ field }] });
  expect((await predict({ text: "too long" })).status).toBe(201);
});

it("chooses in a simulation as well, which checks the input by that version", async () => {
  const simulate = async (input: object) => {
    const body = { request: { model: "chooser/chosen", account: "chooser", input } };
    return (await callJson("/admin/v1/settings/simulate", { ...operator, body })).body;
  };
  expect(await simulate({ text: "hi" })).toMatchObject({ chosen: { version: NEW, by: "request" } });
  expect(await simulate({ text: "hi", version: OLD })).toMatchObject({ chosen: { version: OLD, by: "plugin" } });
  const refused = { phase: "route", code: "changed_input_invalid" };
  expect(await simulate({ text: "too long", version: OLD })).toMatchObject({ refused, input: null });
  const early = { phase: null, code: "invalid_input" };
  expect(await simulate({ text: "much too long" })).toMatchObject({ refused: early, phases: [] });
});

it("comes after the canary, which doesn't count it", async () => {
  await callJson("/v1/models/chooser/chosen/aliases/latest", {
    ...{ method: "PUT", key, env },
    body: { canary: { version: OLD, percent: 100 } },
  });
  expect((await predict({ text: "hi" })).body).toMatchObject({ version: OLD });
  expect((await predict({ text: "hi", version: NEW })).body).toMatchObject({ version: NEW });
});
