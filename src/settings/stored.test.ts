/** Settings that a release after this one stored. */
import { describe, expect, it } from "vitest";
import { smallRowsSql } from "../../test/unit/memory-sql.ts";
import { asJson } from "./diff.ts";
import { keptForm, SettingsSchema } from "./schema.ts";
import type { KeptSettings } from "./schema.ts";
import { createSettingsTable } from "./store.ts";
import { pointersTo, readStored, unreadableIn, withIgnored } from "./stored.ts";

const limits = { limits: [{ name: "minute", per: "account", limit: 5, burst_kind: "soft" }] };
const known = {
  plugins: { "api-key": {}, "rate-limit": { config: { limits: [{ name: "minute", per: "account", limit: 5 }] } } },
  scaling: { classes: { cpu: { max: 3 } } },
};
/** As a release after this one would store it. */
const later = {
  plugins: {
    "api-key": { config: { tokens: { opaque: true } }, sample: 0.5 },
    "rate-limit": { config: limits, after: ["new-tracing", "api-key"] },
    "new-tracing": { fail_mode: "open", config: { to: "there" } },
  },
  models: { "acme/echo": { plugins: { "new-tracing": null, cors: { config: { maxAge: { s: 1 } } } }, quota: 3 } },
  scaling: { classes: { cpu: { max: 3, warm: { at: "09:00" } } }, horizon_s: 60 },
  "regions/eu": ["a", "b"],
};
const pointers = [
  "/regions~1eu",
  "/plugins/api-key/sample",
  "/models/acme~1echo/quota",
  "/scaling/horizon_s",
  "/scaling/classes/cpu/warm",
  "/plugins/new-tracing",
  "/plugins/api-key/config/tokens",
  "/plugins/rate-limit/after/0",
  "/plugins/rate-limit/config/limits/0/burst_kind",
  "/models/acme~1echo/plugins/new-tracing",
  "/models/acme~1echo/plugins/cors/config/maxAge",
];

describe("settings of a later release", () => {
  it("are read without what isn't known, which is named", () => {
    const { settings, ignored } = readStored(later);
    expect(pointersTo(ignored).toSorted()).toEqual(pointers.toSorted());
    expect(settings).toEqual(
      SettingsSchema.parse({
        plugins: { "api-key": { config: {} }, "rate-limit": { ...known.plugins["rate-limit"], after: ["api-key"] } },
        models: { "acme/echo": { plugins: { cors: { config: {} } } } },
        scaling: { classes: { cpu: { max: 3 } } },
      }),
    );
    expect(ignored.find(({ path }) => path[0] === "regions/eu")?.value).toEqual(["a", "b"]);
  });

  it("keep a guard that isn't known, and what is wrong otherwise", () => {
    const guarded = { plugins: { "new-guard": {}, "new-log": { shadow: true } } };
    expect(Object.keys(readStored(guarded).settings.plugins)).toEqual(["new-guard"]);
    const { settings } = readStored({ plugins: { "api-key": { config: { cacheMs: "long", cash: 1 } } } });
    expect(settings.plugins["api-key"]?.config).toEqual({ cacheMs: "long" });
  });

  it("lose a value that isn't known only where it may be passed by", () => {
    const guard = { config: { limits: [{ name: "minute", per: "galaxy", limit: 5 }], later: 1 } };
    const observer = { config: { later: { far: true }, maxAge: "long" } };
    const { settings, ignored } = readStored({
      plugins: { "rate-limit": guard, cors: { ...observer, fail_mode: "open" } },
      accounts: { acme: { plugins: { "rate-limit": { ...guard, shadow: true } } } },
      rents: { currency: "later" },
    });
    expect(settings.plugins).toEqual({ "rate-limit": { config: { limits: guard.config.limits } } });
    expect([settings.accounts, settings.rents]).toEqual([{ acme: { plugins: {} } }, undefined]);
    expect(pointersTo(ignored)).toEqual([
      "/rents",
      "/plugins/rate-limit/config/later",
      "/plugins/cors",
      "/accounts/acme/plugins/rate-limit",
    ]);
    expect(ignored[2]?.value).toEqual({ ...observer, fail_mode: "open" });
  });

  it("say what can't be read, through the calls between objects, too", () => {
    const read = () =>
      readStored({ plugins: { "api-key": { fail_mode: "later" } }, prices: { currency: 1 }, rents: 2 });
    expect(read).toThrow(/^settings_unreadable: \/plugins\/api-key\/fail_mode: .*; \/prices\/currency: /);
    const known = (message: string) => unreadableIn(new Error(message));
    expect([known("settings_unreadable: /x: no"), known("away"), unreadableIn("settings_unreadable: ")]).toEqual([
      "/x: no",
      null,
      null,
    ]);
  });

  it("stay stored as they are when they are published again, or changed elsewhere", () => {
    const { settings, ignored } = readStored(later);
    const same = withIgnored(keptForm(settings), settings, { number: 1, settings, ignored });
    expect(pointersTo(same.carried)).toEqual(pointersTo(ignored));
    expect(asJson(same.stored)).toEqual({
      ...later,
      scaling: {
        ...settings.scaling,
        ...later.scaling,
        classes: { cpu: { ...settings.scaling.classes["cpu"], ...later.scaling.classes.cpu } },
      },
    });
  });

  it("lose with a part that is gone, or a list that is another, what stood in it, and nothing else", () => {
    const { settings, ignored } = readStored(later);
    const other = { "rate-limit": { config: { limits: [] } } };
    const next = SettingsSchema.parse({ plugins: { "api-key": settings.plugins["api-key"], ...other } });
    const { stored, carried } = withIgnored(keptForm(next), next, { number: 1, settings, ignored });
    expect(pointersTo(carried).toSorted()).toEqual([
      "/plugins/api-key/config/tokens",
      "/plugins/api-key/sample",
      "/plugins/new-tracing",
      "/regions~1eu",
      "/scaling/horizon_s",
    ]);
    expect(stored).toEqual({
      plugins: { "api-key": later.plugins["api-key"], ...other, "new-tracing": later.plugins["new-tracing"] },
      scaling: { horizon_s: 60 },
      "regions/eu": ["a", "b"],
    });
  });

  it("are read from the table by this release, which says what it left out", () => {
    const table = createSettingsTable(smallRowsSql());
    const publication = { at: 5, by: "ada", why: "a test", restores: null };
    table.publish(later as unknown as KeptSettings, publication, null);
    expect(pointersTo(table.read(1)?.ignored ?? []).toSorted()).toEqual(pointers.toSorted());
    table.publish(known, publication, null);
    expect(table.read(2)).toEqual({ number: 2, settings: SettingsSchema.parse(known) });
    expect(table.read(1)?.number).toBe(1);
  });
});
