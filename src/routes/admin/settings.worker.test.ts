/** The settings as an operator publishes them, over a settings object of the tests' own. */
import { runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { callJson, newKey, testEnv } from "../../../test/worker/edge-harness.ts";
import type { Env } from "../../env.ts";
import type { RemoteSettings } from "../../settings/remote.ts";
import type { KeptSettings } from "../../settings/schema.ts";

const key = testEnv.ADMIN_KEY ?? "";
let env: Partial<Env>;

/** A deployment of its own, as far as settings go. */
function deployment(name = crypto.randomUUID()): Partial<Env> {
  const getByName = () => testEnv.SETTINGS.getByName(name);
  return { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
}

beforeEach(() => {
  env = deployment();
});

const get = (path: string) => callJson(`/admin/v1/settings${path}`, { key, env });
const post = (path: string, body: unknown) => callJson(`/admin/v1/settings${path}`, { key, env, body });
const publish = (settings: unknown, more: object = {}) => post("", { settings, why: "a test", ...more });
const withKeys = (config: object) => ({ plugins: { "api-key": { config } } });

describe("publishing", () => {
  it("gives each its number, and tells who, when and why", async () => {
    expect((await get("")).body).toMatchObject({ number: 0, by: null, settings: { plugins: { "api-key": {} } } });
    const first = await publish(withKeys({ cacheMs: 1000 }), { by: "ada" });
    expect(first.status).toBe(201);
    expect(first.body).toEqual({
      number: 1,
      order: { authenticate: ["api-key"], admit: [], screenInput: [], route: [], screenOutput: [], onResult: [] },
      changes: [{ path: "/plugins/api-key/config", from: null, to: { cacheMs: 1000 } }],
      carried: [],
      warnings: [],
    });
    await publish(withKeys({ cacheMs: 2000 }));
    expect((await get("")).body).toMatchObject({ number: 2, settings: withKeys({ cacheMs: 2000 }) });
    expect((await get("/numbers/1")).body).toMatchObject({ number: 1, settings: withKeys({ cacheMs: 1000 }) });
    expect((await get("/numbers/3")).status).toBe(404);
    const { body } = await get("/history?limit=1");
    expect(body).toMatchObject({ results: [{ number: 2, by: "operator", why: "a test" }], next: 2 });
    expect((await get("/history?before=2")).body).toMatchObject({ results: [{ number: 1, by: "ada" }], next: null });
    expect((await get("/diff?from=1&to=2")).body).toEqual({
      changes: [{ path: "/plugins/api-key/config/cacheMs", from: 1000, to: 2000 }],
    });
  });

  it("checks all and changes nothing in a dry run", async () => {
    const { status, body } = await publish(withKeys({ cacheMs: 1 }), { dry_run: true });
    expect([status, body["number"]]).toEqual([200, null]);
    expect((await get("")).body["number"]).toBe(0);
  });

  it("goes back by publishing what an earlier number had", async () => {
    await publish(withKeys({ cacheMs: 1000 }));
    await publish(withKeys({ cacheMs: 2000 }));
    expect((await post("/rollback", { number: 1, why: "it was better" })).body["number"]).toBe(3);
    expect((await get("")).body).toMatchObject({ number: 3, restores: 1, settings: withKeys({ cacheMs: 1000 }) });
    expect((await post("/rollback", { number: 9, why: "there is none" })).status).toBe(404);
  });

  it("replaces no number but the expected one", async () => {
    await publish(withKeys({}));
    const late = await publish(withKeys({ cacheMs: 1 }), { expected_number: 0 });
    expect([late.status, late.body["code"]]).toEqual([409, "conflict"]);
    expect((await publish(withKeys({ cacheMs: 1 }), { expected_number: 1 })).status).toBe(201);
  });

  it("refuses an account that is named by its id and by its name: one of the two would be dropped", async () => {
    await newKey("named-twice");
    const id = String(await testEnv.DB.prepare("SELECT id FROM accounts WHERE name = 'named-twice'").first("id"));
    const accounts = { "named-twice": { plugins: {} }, [id]: { plugins: { "rate-limit": null } } };
    const { status, body } = await publish({ plugins: {}, accounts });
    expect([status, body["code"]]).toEqual([422, "invalid_input"]);
    expect(body["detail"]).toContain(`accounts.${id}: is named twice`);
    expect((await get("")).body["number"]).toBe(0);
  });

  it.each([
    ["a plugin that isn't there", { plugins: { nobody: {} } }, "plugin_missing", "nobody"],
    ["settings that a plugin refuses", withKeys({ cacheMs: "long" }), "plugin_invalid", "cacheMs"],
    ["settings that a plugin doesn't know", withKeys({ cash: 1 }), "plugin_invalid", "cash"],
    ["a field that nobody knows", { plugins: {}, plugs: {} }, "invalid_input", "plugs"],
    ["an account that isn't there", { plugins: {}, accounts: { no: { plugins: {} } } }, "invalid_input", "accounts.no"],
    [
      "a plugin that says who calls, for a model",
      { plugins: {}, models: { "acme/echo": { plugins: { "api-key": null } } } },
      "plugin_invalid",
      "can't be set for an account or a model",
    ],
    ["an order after nobody", { plugins: { "api-key": { after: ["nobody"] } } }, "plugin_missing", "nobody"],
  ])("refuses %s, and says so", async (_case, settings, code, words) => {
    const { status, body } = await publish(settings);
    expect([status, body["code"]]).toEqual([422, code]);
    expect(body["detail"]).toContain(words);
    expect((await get("")).body["number"]).toBe(0);
  });

  it("is the operator's alone", async () => {
    expect((await callJson("/admin/v1/settings", { env, key: await newKey("settings-guest") })).status).toBe(401);
  });
});

describe("what is published", () => {
  it("holds for the requests that come, after 5 s in any isolate", async () => {
    const guest = await newKey("settings-guest");
    const status = async () => (await callJson("/v1/account", { key: guest, env })).status;
    expect(await status()).toBe(200);
    await publish({ plugins: {} });
    const now = vi.spyOn(Date, "now").mockReturnValue(Date.now() + 5000);
    expect(await status()).toBe(401);
    await post("/rollback", { number: 0, why: "let them in again" });
    now.mockReturnValue(Date.now() + 5000);
    expect(await status()).toBe(200);
    now.mockRestore();
  });

  it("is read once, however many requests come within 2.5 s", async () => {
    const guest = await newKey("settings-guest");
    let reads = 0;
    const stub: unknown = testEnv.SETTINGS.getByName(crypto.randomUUID());
    const refresh = (...args: Parameters<RemoteSettings["refresh"]>) => {
      reads += 1;
      return (stub as RemoteSettings).refresh(...args);
    };
    const counted = { SETTINGS: { getByName: () => ({ refresh }) } as unknown as Env["SETTINGS"] };
    const status = async () => (await callJson("/v1/account", { key: guest, env: counted })).status;
    const now = vi.spyOn(Date, "now").mockReturnValue(Date.now());
    for (let count = 0; count < 20; count += 1) expect(await status()).toBe(200);
    now.mockRestore();
    expect(reads).toBe(1);
  });

  it("holds on while it can't be renewed, but no revoked key holds longer than 10 s", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const made = await callJson("/admin/v1/keys", { key, env, body: { account: "settings-guest" } });
    const guest = String(made.body["key"]);
    let isAway = false;
    const stub: unknown = testEnv.SETTINGS.getByName(crypto.randomUUID());
    const refresh = (...args: Parameters<RemoteSettings["refresh"]>) =>
      isAway ? Promise.reject(new Error("away")) : (stub as RemoteSettings).refresh(...args);
    const away = { SETTINGS: { getByName: () => ({ refresh }) } as unknown as Env["SETTINGS"] };
    const status = async () => (await callJson("/v1/account", { key: guest, env: away })).status;
    expect(await status()).toBe(200);
    isAway = true;
    const path = `/admin/v1/keys/${String(made.body["id"])}`;
    expect((await callJson(path, { key, env, method: "DELETE" })).status).toBe(204);
    const began = Date.now();
    const now = vi.spyOn(Date, "now").mockReturnValue(began + 9000);
    expect(await status()).toBe(200);
    now.mockReturnValue(began + 10_001);
    expect(await status()).toBe(401);
    now.mockReturnValue(began + 66_000);
    expect(await status()).toBe(503);
    now.mockRestore();
  });

  it("is refused with 503 while nobody can say what holds", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const guest = await newKey("settings-guest");
    const getByName = () => ({ refresh: () => Promise.reject(new Error("away")) });
    const away = { SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
    const answer = await callJson("/v1/account", { key: guest, env: away });
    expect([answer.status, answer.body["code"]]).toEqual([503, "unavailable"]);
  });
});

describe("settings that a later release published", () => {
  const later = { plugins: { "api-key": { sample: 1, config: { opaque: true } } }, regions: { eu: "fra" } };
  const pointers = ["/plugins/api-key/config/opaque", "/plugins/api-key/sample", "/regions"];
  const sorted = (found: unknown) => (found as string[]).toSorted();

  it("let requests through, are told to the operator, and stay stored with what is published over them", async () => {
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    const name = crypto.randomUUID();
    env = deployment(name);
    const stub: unknown = testEnv.SETTINGS.getByName(name);
    const publication = { at: Date.now(), by: "ada", why: "by a later release", restores: null };
    await (stub as RemoteSettings).publish(later, publication, 0);

    expect((await callJson("/v1/account", { key: await newKey("settings-guest"), env })).status).toBe(200);
    expect(said.mock.calls.flat().join(" ")).toContain("settings_partly_unknown");
    const { body } = await get("");
    expect([body["settings"], sorted(body["ignored"])]).toMatchObject([
      { plugins: { "api-key": { config: {} } } },
      pointers,
    ]);

    expect((await publish(later)).body["code"]).toBe("invalid_input");
    const carried = (await publish(withKeys({ cacheMs: 5 }))).body["carried"];
    expect([sorted(carried), sorted((await get("")).body["ignored"])]).toEqual([pointers, pointers]);
    expect((await publish({ plugins: { "prompt-guard": {} } })).status).toBe(201);
    expect((await get("")).body["ignored"]).toEqual(["/regions"]);
    await post("/rollback", { number: 0, why: "without any" });
    expect((await get("")).body["ignored"]).toEqual([]);
    await post("/rollback", { number: 1, why: "with all of it" });
    expect(sorted((await get("")).body["ignored"])).toEqual(pointers);
  });

  it("are told of where this one can't read them, and others can be published in their place", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const name = crypto.randomUUID();
    env = deployment(name);
    expect((await publish({ plugins: { "api-key": {} } })).status).toBe(201);
    const stub: unknown = testEnv.SETTINGS.getByName(name);
    const publication = { at: Date.now(), by: "ada", why: "by a later release", restores: null };
    const unreadable: unknown = { plugins: { "api-key": { fail_mode: "later" } } };
    const publishLater = () => (stub as RemoteSettings).publish(unreadable as KeptSettings, publication, null);
    await publishLater();
    env = deployment(name);
    const key = await newKey("settings-guest");
    expect((await callJson("/v1/account", { key, env })).status).toBe(503);
    // An isolate that gets an error tells its counts again: they count once.
    await runInDurableObject(testEnv.SETTINGS.getByName(name), (object) => {
      const refresh = () => object.refresh({ number: null, staleServed: 7 }, [], { published: 5, dropped: 0 });
      expect(refresh).toThrow("/plugins/api-key/fail_mode: ");
      expect(object.stats()).toMatchObject({ staleServed: 0, audit: { published: 0 } });
    });
    const { status, body } = await get("");
    expect([status, body["code"], body["detail"]]).toEqual([
      503,
      "unavailable",
      expect.stringContaining("/plugins/api-key/fail_mode: "),
    ]);
    expect((await post("/rollback", { number: 1, why: "back" })).body["number"]).toBe(3);
    await publishLater();
    expect((await publish({ plugins: { "api-key": {} } }, { expected_number: 3 })).status).toBe(409);
    expect((await publish({ plugins: { "api-key": {} } }, { expected_number: 4 })).body["number"]).toBe(5);
    expect((await get("")).status).toBe(200);
    expect((await callJson("/v1/account", { key, env: deployment(name) })).status).toBe(200);
  });
});

describe("a simulation", () => {
  const limits = [{ name: "at-once", per: "account", of: "concurrency", limit: 1 }];
  const settings = {
    plugins: {
      "api-key": {},
      "rate-limit": { config: { limits } },
      "prompt-guard": { config: { maxCharacters: 20 } },
      "content-safety": { shadow: true },
    },
  };
  const simulate = async (request: object, draft: object = { settings }) => {
    const { status, body } = await post("/simulate", { ...draft, request });
    return {
      status,
      body: body as { phases: { phase: string; decisions: { plugin: string }[] }[]; [name: string]: unknown },
    };
  };

  it("tells what each plugin decides, phase by phase, and changes nothing", async () => {
    await newKey("settings-guest");
    // A concurrency of one: what is reserved goes back each time.
    for (let count = 0; count < 3; count += 1) {
      const { status, body } = await simulate({
        account: "settings-guest",
        input: { text: "hello" },
        output: "hi",
        logs: "a",
      });
      expect([status, body["refused"], body["input"], body["output"], body["logs"]]).toEqual([
        200,
        null,
        { text: "hello" },
        "hi",
        "a",
      ]);
      expect(body.phases.map(({ phase, decisions }) => [phase, decisions.map(({ plugin }) => plugin)])).toEqual([
        ["admit", ["rate-limit"]],
        ["screenInput", expect.arrayContaining(["prompt-guard", "content-safety"])],
        ["route", []],
        ["screenOutput", ["content-safety"]],
        ["screenOutput", ["content-safety"]],
        ["onResult", []],
      ]);
    }
    expect((await get("")).body["number"]).toBe(0);
  });

  it("knows what is otherwise for an account, by its name", async () => {
    await newKey("settings-guest");
    const plugins = { "prompt-guard": { config: { maxCharacters: 2 } } };
    const draft = { settings: { ...settings, accounts: { "settings-guest": { plugins } } } };
    const { body } = await simulate({ account: "settings-guest", input: { text: "hello" } }, draft);
    expect(body["refused"]).toMatchObject({ phase: "screenInput" });
  });

  it("tells who refuses, and of what phase", async () => {
    const { body } = await simulate({ account: "settings-guest", input: { text: "a".repeat(21) } });
    expect(body).toMatchObject({ refused: { phase: "screenInput", code: "invalid_input" }, input: null });
  });

  it("finds out by the headers who asks, and without a draft takes the settings that hold", async () => {
    const guest = await newKey("settings-guest");
    const headers = { Authorization: `Bearer ${guest}` };
    const { body } = await simulate({ headers }, {});
    expect(body.phases[0]).toMatchObject({ phase: "authenticate", decisions: [{ plugin: "api-key", changed: true }] });
    expect((await simulate({ headers: { authorization: "Bearer ep_no" } }, {})).body["refused"]).toMatchObject({
      phase: "authenticate",
      code: "unauthenticated",
    });
    expect((await simulate({ account: "nobody" }, {})).status).toBe(422);
  });
});
