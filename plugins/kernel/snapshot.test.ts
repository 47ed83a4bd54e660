import { describe, expect, it } from "vitest";
import * as z from "zod";
import { definePlugin } from "./define-plugin.ts";
import type { Plugin } from "./define-plugin.ts";
import { judge, proceed } from "./phases.ts";
import { buildSnapshot } from "./snapshot.ts";
import type { Hooks } from "./snapshot.ts";

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
