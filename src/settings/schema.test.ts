import { expect, it } from "vitest";
import { keptForm, SettingsSchema } from "./schema.ts";

const plugins = { "api-key": {} };

it("keep nothing that is as it would be anyway, so that a release that is put back reads them", () => {
  expect(keptForm(SettingsSchema.parse({ plugins }))).toEqual({ plugins });
});

it("keep what was set, and read as they were", () => {
  const prices = { currency: "USD", default: { per_request_nano: 5 } };
  const settings = SettingsSchema.parse({ plugins, prices, serve_stale_s: 0, pushed_plugins: { owners: ["acme"] } });
  const kept = keptForm(settings);
  expect(Object.keys(kept).toSorted()).toEqual(["plugins", "prices", "pushed_plugins", "serve_stale_s"]);
  expect(SettingsSchema.parse(JSON.parse(JSON.stringify(kept)))).toEqual(settings);
});
