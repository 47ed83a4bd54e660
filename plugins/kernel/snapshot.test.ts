import { describe, expect, it } from "vitest";
import * as z from "zod";
import { definePlugin } from "./define-plugin.ts";
import type { Plugin } from "./define-plugin.ts";
import { judge, proceed } from "./phases.ts";
import { createInstanceStore } from "./instances.ts";
import { buildSnapshot } from "./snapshot.ts";
import type { Hooks, PluginSettings } from "./snapshot.ts";

/** Counts what is set up and given up. */
function counted(name: string, lives: string[] = []): Plugin {
  return definePlugin({
    name,
    apiVersion: 1,
    config: z.strictObject({ limit: z.number().default(0) }),
    phases: ["admit", "onResult"],
    setup: ({ config }) => {
      lives.push(`${name} ${config.limit}`);
      return {
        admit: () => ({ verdict: "reject", code: "rate_limited", message: String(config.limit) }),
        onResult: judge(() => proceed),
        dispose: () => void lives.push(`${name} ${config.limit} is gone`),
      };
    },
  });
}

const namesOf = ({ hooks }: Hooks) => hooks.admit.map(({ plugin }) => plugin);
async function limitOf({ hooks }: Hooks): Promise<string> {
  const verdict = await hooks.admit[0]?.run({} as never);
  return verdict?.verdict === "reject" ? verdict.message : "none";
}

describe("what is overridden", () => {
  const overrides = {
    accounts: { a: { one: { config: { limit: 1 } } }, b: { one: null } },
    models: { "acme/echo": { one: { config: { limit: 2 } }, two: { config: { limit: 3 } } } },
  };

  it("holds for its account and its model, the account's before the model's", async () => {
    const catalog = [counted("one"), counted("two")];
    const snapshot = await buildSnapshot(1, catalog, { one: {} }, {}, overrides);
    const of = async (account: string, model: string) => snapshot.of(account, model);
    expect(await limitOf(await of("x", "acme/other"))).toBe("0");
    expect(await limitOf(await of("a", "acme/other"))).toBe("1");
    expect(await limitOf(await of("x", "acme/echo"))).toBe("2");
    expect(await limitOf(await of("a", "acme/echo"))).toBe("1");
    expect(namesOf(await of("b", "acme/other"))).toEqual([]);
    expect(namesOf(await of("b", "acme/echo"))).toEqual(["two"]);
    expect(await of("toString", "constructor")).toMatchObject({ hooks: snapshot.hooks });
    expect([...snapshot.phases]).toEqual(["admit", "onResult"]);
  });

  it("is set up once, when it is asked for, and given up with the snapshot", async () => {
    const lives: string[] = [];
    const snapshot = await buildSnapshot(1, [counted("one", lives)], { one: {} }, {}, { ...overrides, models: {} });
    await Promise.all([snapshot.of("a", "m"), snapshot.of("a", "n"), snapshot.of("b", "m")]);
    await snapshot.of("a", "o");
    expect(new Set(lives)).toEqual(new Set(["one 0", "one 1", "one 1 is gone"]));
    lives.length = 0;
    await snapshot.dispose();
    expect(lives.toSorted()).toEqual(["one 0 is gone", "one 1 is gone"]);
  });

  it("is refused of a plugin that isn't there", async () => {
    const models = { "acme/echo": { nobody: {} } };
    await expect(buildSnapshot(1, [], {}, {}, { accounts: {}, models })).rejects.toMatchObject({
      code: "plugin_missing",
    });
  });
});

describe("what the operator says of a plugin", () => {
  it("goes before what the plugin says", async () => {
    const entry = { shadow: true, failMode: "open", timeoutMs: 7, after: ["two"] } as const;
    const snapshot = await buildSnapshot(1, [counted("one"), counted("two")], { one: entry, two: {} }, {});
    expect(snapshot.hooks.admit.map((hook) => [hook.plugin, hook.shadow, hook.failMode, hook.timeoutMs])).toEqual([
      ["two", false, "closed", 2000],
      ["one", true, "open", 7],
    ]);
    expect(snapshot.hooks.admit.map(({ mutates }) => mutates)).toEqual([true, true]);
    expect(snapshot.hooks.onResult.map(({ mutates }) => mutates)).toEqual([false, false]);
  });
});

it("gives up what was set up when another plugin can't be", async () => {
  const lives: string[] = [];
  const catalog = [counted("one", lives), counted("two", lives)];
  const settings = { one: {}, two: { config: { limit: "many" } } };
  await expect(buildSnapshot(1, catalog, settings, {})).rejects.toMatchObject({ code: "plugin_invalid" });
  expect(lives).toEqual(["one 0", "one 0 is gone"]);
});

it("asks those that may answer a prediction behind all others of the phase", async () => {
  const routing = (name: string, answers: boolean, after: string[] = []): Plugin =>
    definePlugin({
      ...{ name, apiVersion: 1, config: z.strictObject({}), phases: ["route"], answers, after },
      setup: () => ({ route: () => proceed }),
    });
  const catalog = [routing("cache", true), routing("first", false), routing("second", false, ["cache"])];
  const { hooks } = await buildSnapshot(1, catalog, { cache: {}, first: {}, second: {} }, {});
  expect(hooks.route.map(({ plugin, answers }) => [plugin, answers])).toEqual([
    ["first", false],
    ["second", false],
    ["cache", true],
  ]);
});

describe("settings that follow others", () => {
  const long = (count: number) => Array.from({ length: count }, (_, nth) => nth);

  function following() {
    const lives: string[] = [];
    const store = createInstanceStore({});
    let version = 0;
    const build = (settings: PluginSettings, catalog = [counted("one", lives), counted("two", lives)]) =>
      buildSnapshot((version += 1), catalog, settings, {}, undefined, store);
    const lived = () => lives.splice(0);
    return { build, lived };
  }

  it("keep what is set up of plugins that they say nothing else of, until nobody uses it", async () => {
    const { build, lived } = following();
    const first = await build({ one: { config: { limit: 1 } }, two: {} });
    const second = await build({ two: { config: {}, shadow: true }, one: { config: { limit: 2 } } });
    expect(lived()).toEqual(["one 1", "two 0", "one 2"]);
    expect([await limitOf(first), await limitOf(second)]).toEqual(["1", "2"]);
    expect(second.hooks.admit.map(({ plugin, shadow }) => [plugin, shadow])).toEqual([
      ["one", false],
      ["two", true],
    ]);
    await first.dispose();
    expect(lived()).toEqual(["one 1 is gone"]);
    const third = await build({ two: {} });
    await second.dispose();
    expect(lived()).toEqual(["one 2 is gone"]);
    await third.dispose();
    await third.dispose();
    expect(lived()).toEqual(["two 0 is gone"]);
    await build({ two: {} });
    expect(lived()).toEqual(["two 0"]);
  });

  it("keep it, however large its settings are and in whatever order they stand, and not that of another version", async () => {
    const lives: string[] = [];
    const named = (version: string): Plugin =>
      definePlugin({
        ...{ name: "large", apiVersion: 1, version, config: z.looseObject({}), phases: ["admit"] },
        setup: () => {
          lives.push(version);
          return { admit: () => proceed };
        },
      });
    const { build } = following();
    const config = { list: long(10_000), more: { a: 1, b: 2 } };
    await build({ large: { config } }, [named("v1")]);
    await build({ large: { config: { more: { b: 2, a: 1 }, list: long(10_000) } } }, [named("v1")]);
    expect(lives).toEqual(["v1"]);
    await build({ large: { config: { ...config, list: long(10_001) } } }, [named("v1")]);
    await build({ large: { config } }, [named("v2")]);
    expect(lives).toEqual(["v1", "v1", "v2"]);
  });

  it("leave alone what others use where one of their plugins can't be set up", async () => {
    const { build, lived } = following();
    const first = await build({ one: {} });
    lived();
    await expect(build({ one: {}, two: { config: { limit: "many" } } })).rejects.toMatchObject({
      code: "plugin_invalid",
    });
    expect([lived(), await limitOf(first)]).toEqual([[], "0"]);
    await first.dispose();
    expect(lived()).toEqual(["one 0 is gone"]);
  });
});
