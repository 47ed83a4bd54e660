import { describe, expect, it } from "vitest";
import * as z from "zod";
import type { EdgeplaneError } from "../../src/contract/errors.ts";
import { definePlugin } from "./define-plugin.ts";
import type { Plugin } from "./define-plugin.ts";
import { orderPlugins } from "./order.ts";
import { proceed } from "./phases.ts";
import { buildSnapshot } from "./snapshot.ts";

const services = { keys: { mayExist: async () => true, find: async () => null } };

function named(name: string, options: { after?: string[]; requires?: string[]; apiVersion?: number } = {}): Plugin {
  return definePlugin({
    name,
    apiVersion: options.apiVersion ?? 1,
    config: z.strictObject({ limit: z.number().default(1) }),
    phases: ["admit"],
    after: options.after ?? [],
    requires: options.requires ?? [],
    setup: () => ({ admit: () => proceed }),
  });
}

const namesOf = (plugins: Plugin[]) => plugins.map((plugin) => plugin.name);

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    return (thrown as EdgeplaneError).code;
  }
  return "no error";
}

describe("the order of plugins", () => {
  it("follows `after` and `requires`, and else the catalog", () => {
    const plugins = [named("c", { after: ["b"] }), named("a"), named("b", { requires: ["d"] }), named("d")];
    expect(namesOf(orderPlugins(plugins))).toEqual(["d", "b", "c", "a"]);
  });

  it("takes an `after` of a plugin that is off as no condition", () => {
    expect(namesOf(orderPlugins([named("a", { after: ["absent"] })]))).toEqual(["a"]);
  });

  it("refuses a cycle and names it", () => {
    const plugins = [named("a", { after: ["b"] }), named("b", { after: ["c"] }), named("c", { requires: ["a"] })];
    expect(codeOf(() => orderPlugins(plugins))).toBe("plugin_cycle");
    expect(() => orderPlugins(plugins)).toThrow("a → b → c → a");
  });

  it("refuses a missing requirement and a name that is there twice", () => {
    expect(codeOf(() => orderPlugins([named("a", { requires: ["b"] })]))).toBe("plugin_missing");
    expect(codeOf(() => orderPlugins([named("a"), named("a")]))).toBe("plugin_duplicate");
  });
});

describe("a snapshot", () => {
  it("holds the hooks of the plugins that are on, and can't be changed", async () => {
    const snapshot = await buildSnapshot(7, [named("a"), named("b")], { b: { config: { limit: 3 } } }, services);
    expect(snapshot.version).toBe(7);
    expect(snapshot.hooks.admit.map((hook) => hook.plugin)).toEqual(["b"]);
    expect(() => (snapshot.hooks.admit as unknown[]).push({})).toThrow(TypeError);
  });

  it.each([
    ["settings that don't fit", [named("a")], { a: { config: { limit: "many" } } }, "plugin_invalid"],
    ["settings of an unknown plugin", [named("a")], { z: {} }, "plugin_missing"],
    ["another version of the contract", [named("a", { apiVersion: 2 })], { a: {} }, "plugin_invalid"],
    ["a name that is none", [named("A!")], { "A!": {} }, "plugin_invalid"],
    ["a requirement that is off", [named("a", { requires: ["b"] }), named("b")], { a: {} }, "plugin_missing"],
  ])("refuses %s", async (_case, plugins, settings, code) => {
    await expect(buildSnapshot(1, plugins, settings, services)).rejects.toMatchObject({ code });
  });

  it("refuses a plugin whose setup throws, with the reason", async () => {
    const broken = definePlugin({
      name: "broken",
      apiVersion: 1,
      config: z.object({}),
      phases: ["admit"],
      setup: () => {
        throw new Error("no such list");
      },
    });
    await expect(buildSnapshot(1, [broken], { broken: {} }, services)).rejects.toThrow("no such list");
  });

  it("gives a plugin the services that it needs, and no others", async () => {
    const seen: string[][] = [];
    const make = (name: string, needs: "keys"[]) =>
      definePlugin({
        name,
        apiVersion: 1,
        config: z.object({}),
        phases: ["admit"],
        needs,
        setup: (context) => {
          seen.push(Object.keys(context.services));
          return { admit: () => proceed };
        },
      });
    await buildSnapshot(1, [make("poor", []), make("rich", ["keys"])], { poor: {}, rich: {} }, services);
    expect(seen).toEqual([[], ["keys"]]);
  });
});
