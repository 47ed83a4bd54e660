/** A plugin that makes an input unfit for its model, as a client meets it. */
import { expect, it } from "vitest";
import { callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Env } from "../../env.ts";

const schema = {
  components: { schemas: { Input: { type: "object", properties: { text: { type: "string", maxLength: 8 } } } } },
};
const rule = { name: "longer", pattern: "hi", on: "input", action: "replace", replacement: "a text of many words" };

/** Publishes for a deployment of its own, as far as settings go. */
async function settingsOf(failMode: "closed" | "open"): Promise<Partial<Env>> {
  const getByName = () => testEnv.SETTINGS.getByName(`changed input, ${failMode}`);
  const env = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  const settings = { plugins: { "api-key": {}, regex: { fail_mode: failMode, config: { rules: [rule] } } } };
  const publication = { settings, why: "a test" };
  const answer = await callJson("/admin/v1/settings", { key: testEnv.ADMIN_KEY ?? "", body: publication, env });
  expect(answer.status).toBe(201);
  return env;
}

it("is refused before anything is stored, with the fields, unless the plugin fails open", async () => {
  const key = await newKey("changed-input");
  await offer({ name: "eight", schema });
  const body = { version: "acme/eight", input: { text: "hi" } };

  const closed = await settingsOf("closed");
  const refused = await callJson("/v1/predictions", { key, env: closed, body });
  expect(refused).toMatchObject({
    status: 422,
    body: { code: "changed_input_invalid", invalid_fields: [{ field: "input.text" }] },
  });
  expect((await callJson("/v1/predictions", { key, env: closed })).body["results"]).toEqual([]);
  const draft = { request: { account: "changed-input", model: "acme/eight", input: { text: "hi" } } };
  const simulated = await callJson("/admin/v1/settings/simulate", {
    ...{ key: testEnv.ADMIN_KEY ?? "", env: closed, body: draft },
  });
  expect(simulated.body["refused"]).toMatchObject({ phase: "screenInput", code: "changed_input_invalid" });

  const open = await callJson("/v1/predictions", { key, env: await settingsOf("open"), body });
  expect(open).toMatchObject({ status: 201, body: { input: { text: "hi" } } });
});
