/** What plugins decide over a prediction's input and output, as those with the right read it. */
import { expect, it, vi } from "vitest";
import { call, callJson, FakePool, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";

const CARD = "4111 1111 1111 1111";

it("masks what goes in and out, chunk by chunk, and records why", async () => {
  const operator = testEnv.ADMIN_KEY ?? "";
  const settings = {
    plugins: {
      "api-key": {},
      "content-safety": { config: { patterns: { card: "mask" } } },
      "prompt-guard": { shadow: true, config: { maxCharacters: 1 } },
    },
  };
  const publication = { settings, why: "a test" };
  expect((await callJson("/admin/v1/settings", { key: operator, body: publication })).status).toBe(201);
  const key = await newKey("verdicts");
  await offer({ name: "guarded", streams: "iterate" });
  const { body } = await callJson("/v1/predictions", {
    key,
    body: { version: "acme/guarded", input: { text: `my card is ${CARD}` } },
  });
  const id = String(body["id"]);
  expect(JSON.stringify(body["input"])).not.toContain("1111");

  const pool = await FakePool.open();
  const grant = await pool.claim(id);
  const send = (...events: object[]) => pool.send(grant, ...(events as never[]));
  for (const piece of ["a ", "4111 11", "11 1111 ", "1111 it is"]) await send({ type: "output", chunk: piece });
  await send({ type: "log", text: `seen ${CARD}\n` });
  const stored = await callJson(`/pool/v1/blobs/${id}/${grant.token}/notes.txt`, {
    method: "PUT",
    key: pool.key,
    headers: { "content-type": "text/plain", "content-length": String(`written down: ${CARD}`.length) },
    body: `written down: ${CARD}`,
  });
  expect(stored.status).toBe(201);
  const link = String(stored.body["url"]);
  await send({ type: "succeeded", output: ["a ", CARD, " it is ", link] });

  const read = async (credential: string) => callJson(`/v1/predictions/${id}`, { key: credential });
  const { body: mine } = await read(key);
  expect(mine["status"]).toBe("succeeded");
  expect(JSON.stringify(mine)).not.toContain("1111");
  expect(mine["verdicts"]).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ plugin: "content-safety", phase: "screenInput", action: "change" }),
      expect.objectContaining({ plugin: "prompt-guard", phase: "screenInput", action: "shadow" }),
      expect.objectContaining({ plugin: "content-safety", phase: "screenOutput", action: "change" }),
    ]),
  );
  const file = await (await call(link)).text();
  expect(file).toContain("written down: ");
  expect(file).not.toContain("1111");
  const limited = await newKey("verdicts", { scopes: ["predictions:read"] });
  expect((await read(limited)).body["verdicts"]).toBeUndefined();

  // An isolate tells what was decided when it looks at the settings again.
  const now = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 5000);
  await read(key);
  now.mockRestore();
  const metrics = await (await call("/admin/v1/metrics", { key: operator })).text();
  expect(metrics).toContain("edgeplane_settings_number 1\n");
  expect(metrics).toMatch(
    /edgeplane_plugin_verdicts_total\{plugin="content-safety",phase="screenOutput",action="change"\} [1-9]/,
  );
  expect(metrics).toContain(
    'edgeplane_plugin_verdicts_total{plugin="prompt-guard",phase="screenInput",action="shadow"} 1\n',
  );
});
