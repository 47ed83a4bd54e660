import { expect, test } from "vitest";
import { completePackages, platformOf } from "./lock.ts";

test.each([
  ["@oxlint/binding-linux-x64-musl", { cpu: ["x64"], os: ["linux"], libc: ["musl"] }],
  ["@oxc-parser/binding-android-arm-eabi", { cpu: ["arm"], os: ["android"] }],
  ["@cloudflare/workerd-windows-64", { cpu: ["x64"], os: ["win32"] }],
  ["@rolldown/binding-linux-s390x-gnu", { cpu: ["s390x"], os: ["linux"], libc: ["glibc"] }],
])("%s says its platform", (name, platform) => {
  expect(platformOf(name)).toEqual(platform);
});

test("a missing optional package is added once, in order, and nothing else changes", () => {
  const parent = {
    version: "1.0.0",
    dev: true,
    optionalDependencies: { "b-linux-x64": "1.0.0", "b-win32-x64": "1.0.0" },
  };
  const present = { version: "1.0.0", integrity: "sha512-x", optional: true };
  const { packages, added } = completePackages({ "node_modules/z": parent, "node_modules/b-linux-x64": present });
  expect(added).toEqual(["b-win32-x64@1.0.0"]);
  expect(Object.keys(packages)).toEqual(["node_modules/b-linux-x64", "node_modules/b-win32-x64", "node_modules/z"]);
  expect(packages["node_modules/b-linux-x64"]).toBe(present);
  expect(packages["node_modules/b-win32-x64"]).toMatchObject({
    dev: true,
    optional: true,
    os: ["win32"],
    cpu: ["x64"],
  });
  expect(completePackages(packages).added).toEqual([]);
});
