import { beforeAll, describe, expect, it } from "vitest";
import { callJson, newKey, offer, testEnv } from "../../../test/worker/edge-harness.ts";
import { interruptedDb } from "../../../test/worker/interrupted-db.ts";

const [ONE, TWO, THREE, FOUR] = ["1", "2", "3", "4"].map((digit) => digit.repeat(64)) as [
  string,
  string,
  string,
  string,
];
let owner = "";
let stranger = "";

beforeAll(async () => {
  owner = await newKey("namer");
  stranger = await newKey("reader");
});

const path = (name: string, more = "") => `/v1/models/namer/${name}${more}`;
const put = (name: string, alias: string, version: string, key = owner) =>
  callJson(path(name, `/aliases/${alias}`), { method: "PUT", key, body: { version } });
const read = (name: string, alias: string, key = owner) => callJson(path(name, `/aliases/${alias}`), { key });
const rollBack = (name: string, alias: string) =>
  callJson(path(name, `/aliases/${alias}/rollback`), { method: "POST", key: owner });
const remove = async (of: string) => {
  const { status, body } = await callJson(of, { method: "DELETE", key: owner });
  return [status, body["code"]];
};

/** A private model with these versions, offered in their order. */
async function make(name: string, versions: string[], visibility = "private"): Promise<void> {
  await callJson("/v1/models", { key: owner, body: { owner: "namer", name, visibility, hardware: "cpu" } });
  for (const version of versions) await offer({ owner: "namer", name, version });
}

/** The version that a prediction gets. */
async function chosen(reference: string, key = owner, at = "/v1/predictions"): Promise<unknown> {
  const { body } = await callJson(at, { key, body: { version: reference, input: {} } });
  return body["version"] ?? body["code"];
}

describe("an alias", () => {
  it("names a version wherever a version is named, and the prediction keeps what it was given", async () => {
    await make("named", [ONE, TWO]);
    expect(await put("named", "stable", ONE)).toMatchObject({ status: 200, body: { alias: "stable", version: ONE } });
    expect(await chosen("namer/named")).toBe(TWO);
    expect(await chosen("namer/named:stable")).toBe(ONE);
    expect(await chosen("namer/named:latest")).toBe(TWO);
    expect(await chosen("stable", owner, path("named", "/predictions"))).toBe(ONE);
    expect(await chosen("namer/named:stable", owner, path("named", "/predictions"))).toBe(ONE);
    expect(await chosen(ONE, owner, path("named", "/versions/latest/predictions"))).toBe(TWO);
    expect(await chosen("namer/other:stable", owner, path("named", "/predictions"))).toBe("invalid_input");
    expect((await callJson(path("named", "/versions/stable"), { key: owner })).body).toMatchObject({ id: ONE });
    const body = { version: "namer/named:stable", input: {} };
    const accepted = await callJson("/v1/predictions", { key: owner, headers: { "idempotency-key": "k" }, body });
    await put("named", "stable", TWO);
    expect(await chosen("namer/named:stable")).toBe(TWO);
    const again = await callJson("/v1/predictions", { key: owner, headers: { "idempotency-key": "k" }, body });
    expect([again.body["id"], again.body["version"]]).toEqual([accepted.body["id"], ONE]);
  });

  it("is moved to what another one points to, and so is `latest`", async () => {
    await make("moving", [ONE, TWO]);
    expect((await put("moving", "stable", "latest")).body).toMatchObject({ version: TWO });
    expect((await put("moving", "latest", ONE)).body).toMatchObject({ alias: "latest", version: ONE });
    expect(await chosen("namer/moving")).toBe(ONE);
    await offer({ owner: "namer", name: "moving", version: THREE });
    expect(await chosen("namer/moving")).toBe(THREE);
    expect((await read("moving", "stable")).body).toMatchObject({ version: TWO });
  });

  it("can't look like a version, or like nothing that could be typed", async () => {
    await make("strict", [ONE]);
    for (const alias of ["deadbeef", "1234567", ONE, "Stable", "-x", "x".repeat(64)])
      expect([alias, (await put("strict", alias, ONE)).status]).toEqual([alias, 400]);
    for (const alias of ["v1", "2026-11", "beef", "deadbeef.1"])
      expect([alias, (await put("strict", alias, ONE)).status]).toEqual([alias, 200]);
    expect((await put("strict", "x", "9".repeat(64))).body["code"]).toBe("version_not_found");
    expect((await put("strict", "x", "nothing")).body["code"]).toBe("version_not_found");
  });

  it("is used by all, and moved by the owner alone, who alone sees where it has been", async () => {
    await make("shared", [ONE, TWO], "public");
    await put("shared", "stable", ONE);
    expect(await chosen("namer/shared:stable", stranger)).toBe(ONE);
    expect((await read("shared", "stable", stranger)).body).toMatchObject({ version: ONE, history: [] });
    expect((await put("shared", "stable", TWO, stranger)).body["code"]).toBe("forbidden");
    await make("hidden", [ONE]);
    await put("hidden", "stable", ONE);
    expect((await read("hidden", "stable", stranger)).body["code"]).toBe("model_not_found");
    expect(await chosen("namer/hidden:stable", stranger)).toBe("version_not_found");
  });

  it("is listed behind `latest`, and goes away", async () => {
    await make("listed", [ONE]);
    await put("listed", "v1", ONE);
    const names = async () => {
      const { body } = await callJson(path("listed", "/aliases"), { key: owner });
      return (body["results"] as { alias: string }[]).map(({ alias }) => alias);
    };
    expect(await names()).toEqual(["latest", "v1"]);
    expect(await remove(path("listed", "/aliases/v1"))).toEqual([204, undefined]);
    expect(await remove(path("listed", "/aliases/v1"))).toEqual([404, "not_found"]);
    expect(await remove(path("listed", "/aliases/latest"))).toEqual([409, "conflict"]);
    expect(await names()).toEqual(["latest"]);
    expect(await chosen("namer/listed:v1")).toBe("version_not_found");
  });

  it("is one of a hundred at most", async () => {
    await make("many", [ONE]);
    const rows = Array.from({ length: 100 }, (_, index) => ({ alias: `a${index}` }));
    await testEnv.DB.prepare("INSERT INTO aliases SELECT 'namer', 'many', value ->> 'alias', ?, 0, 0 FROM json_each(?)")
      .bind(ONE, JSON.stringify(rows))
      .run();
    expect((await put("many", "one-more", ONE)).body["code"]).toBe("quota_exceeded");
    expect((await put("many", "a1", ONE)).status).toBe(200);
  });
});

describe("rolling back", () => {
  it("goes to the version before, whoever moved the name, and further back each time", async () => {
    await make("back", [ONE, TWO, THREE]);
    expect((await rollBack("back", "latest")).body).toMatchObject({ version: TWO });
    expect(await chosen("namer/back")).toBe(TWO);
    expect((await rollBack("back", "latest")).body).toMatchObject({ version: ONE });
    expect(await rollBack("back", "latest")).toMatchObject({ status: 409, body: { code: "conflict" } });
    await offer({ owner: "namer", name: "back", version: FOUR });
    expect(await chosen("namer/back")).toBe(FOUR);
    expect((await rollBack("back", "latest")).body).toMatchObject({ version: ONE });
    const { body } = await read("back", "latest");
    const history = body["history"] as { version: string; undone_at: string | null }[];
    expect(history.map(({ version, undone_at: undone }) => [version, undone === null])).toEqual([
      [FOUR, false],
      [THREE, false],
      [TWO, false],
      [ONE, true],
    ]);
  });

  it("does the same for an alias, and passes over versions that were deleted", async () => {
    await make("aliased", [ONE, TWO, THREE, FOUR]);
    for (const version of [ONE, TWO, THREE]) await put("aliased", "stable", version);
    expect(await remove(path("aliased", `/versions/${TWO}`))).toEqual([202, undefined]);
    expect((await rollBack("aliased", "stable")).body).toMatchObject({ version: ONE });
    expect((await rollBack("aliased", "other")).status).toBe(404);
  });

  it("goes to no version that is deleted in the same moment", async () => {
    await make("raced", [ONE, TWO]);
    const DB = interruptedDb(testEnv.DB, "UPDATE alias_moves", async () =>
      expect(await remove(path("raced", `/versions/${ONE}`))).toEqual([202, undefined]),
    );
    const at = path("raced", "/aliases/latest/rollback");
    const { status, body } = await callJson(at, { method: "POST", key: owner, env: { DB } });
    expect([status, body["code"]]).toEqual([409, "conflict"]);
    const model = await callJson(path("raced"), { key: owner });
    expect([model.status, model.body["latest_version"]]).toEqual([200, expect.objectContaining({ id: TWO })]);
    expect((await read("raced", "latest")).body["history"]).toMatchObject([{ version: TWO, undone_at: null }, {}]);
  });

  it("keeps the last twenty moves", async () => {
    await make("busy", [ONE, TWO]);
    for (let move = 0; move < 15; move += 1) for (const version of [ONE, TWO]) await put("busy", "stable", version);
    expect((await read("busy", "stable")).body["history"]).toHaveLength(20);
  });
});

describe("deleting a version", () => {
  it("is refused while something points to it, and says what", async () => {
    await make("held", [ONE, TWO]);
    await put("held", "stable", ONE);
    const refused = await callJson(path("held", `/versions/${ONE}`), { method: "DELETE", key: owner });
    expect([refused.status, refused.body["detail"]]).toEqual([409, expect.stringContaining("(stable)")]);
    expect(await remove(path("held", `/versions/${TWO}`))).toEqual([409, "conflict"]);
  });

  it("takes aliases along when it is forced, and keeps where `latest` was moved to", async () => {
    await make("forced", [ONE, TWO, THREE]);
    await put("forced", "latest", ONE);
    await put("forced", "beta", TWO);
    expect(await remove(path("forced", `/versions/${TWO}?force=true`))).toEqual([202, undefined]);
    expect(await chosen("namer/forced")).toBe(ONE);
    expect((await read("forced", "beta")).status).toBe(404);
    expect(await remove(path("forced", `/versions/${ONE}?force=true`))).toEqual([202, undefined]);
    expect(await chosen("namer/forced")).toBe(THREE);
  });

  it("leaves a clear word to whoever names it, and what was accepted", async () => {
    await make("gone", [ONE, TWO]);
    const { body } = await callJson("/v1/predictions", { key: owner, body: { version: ONE, input: {} } });
    const deployment = { name: "gone", model: "namer/gone", version: ONE, hardware: "cpu" };
    const bounds = { min_instances: 0, max_instances: 1 };
    await callJson("/v1/deployments", { key: owner, body: { ...deployment, ...bounds } });
    expect(await remove(path("gone", `/versions/${ONE}`))).toEqual([409, "conflict"]);
    expect(await remove(path("gone", `/versions/${ONE}?force=true`))).toEqual([202, undefined]);
    expect(await chosen(`namer/gone:${ONE}`)).toBe("version_deleted");
    const deployed = await callJson("/v1/deployments/namer/gone/predictions", { key: owner, body: { input: {} } });
    expect([deployed.status, deployed.body["code"]]).toEqual([404, "version_deleted"]);
    expect(await chosen(`namer/gone:${ONE}`, stranger)).toBe("version_not_found");
    expect((await callJson(`/v1/predictions/${String(body["id"])}`, { key: owner })).body).toMatchObject({
      version: ONE,
    });
    expect(await put("gone", "stable", ONE)).toMatchObject({ status: 404, body: { code: "version_deleted" } });
  });
});

describe("a deployment", () => {
  it("takes an alias for the version that it points to now", async () => {
    await make("deployed", [ONE, TWO]);
    await put("deployed", "stable", ONE);
    const body = { name: "by-alias", model: "namer/deployed", hardware: "cpu", min_instances: 0, max_instances: 1 };
    const made = await callJson("/v1/deployments", { key: owner, body: { ...body, version: "stable" } });
    expect(made.body).toMatchObject({ current_release: { version: ONE } });
    await put("deployed", "stable", TWO);
    const [at, change] = ["/v1/deployments/namer/by-alias", { method: "PATCH", key: owner }];
    expect((await callJson(at, { key: owner })).body).toMatchObject({ current_release: { version: ONE } });
    expect((await callJson(at, { ...change, body: { version: "stable" } })).body).toMatchObject({
      current_release: { number: 2, version: TWO },
    });
  });
});
