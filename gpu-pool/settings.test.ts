import { expect, test } from "vitest";
import { helpText, readSettings, SettingsError } from "./settings.ts";

const needed = { EDGEPLANE_URL: "https://edge.example.com/base/", EDGEPLANE_POOL_TOKEN: "t" };

test("reads flags and environment; a flag wins", () => {
  const settings = readSettings(["--silence-ms", "7000", "--warm"], {
    ...needed,
    EDGEPLANE_SILENCE_MS: "9000",
    EDGEPLANE_ENABLE: "a, b",
  });
  expect(settings).toMatchObject({
    "silence-ms": 7000,
    warm: true,
    enable: ["a", "b"],
    "metrics-port": 9464,
    token: "t",
  });
  expect(settings?.url.pathname).toBe("/base/");
});

test("switches in the environment are on with 1 or true, and off otherwise", () => {
  for (const [text, on] of [
    ["1", true],
    ["true", true],
    ["0", false],
    ["false", false],
    ["", false],
  ] as const) {
    expect(readSettings([], { ...needed, EDGEPLANE_WARM: text })?.warm).toBe(on);
  }
});

test("names the setting that is wrong, and never shows the token", () => {
  expect(() => readSettings(["--silence-ms", "1"], needed)).toThrow(/--silence-ms \(or EDGEPLANE_SILENCE_MS\)/);
  expect(() => readSettings([], { ...needed, EDGEPLANE_WARM: "perhaps" })).toThrow(SettingsError);
  expect(() => readSettings(["extra"], needed)).toThrow(SettingsError);
  for (const token of ["secret\n", "secret word", "secrét"]) {
    const read = () => readSettings([], { ...needed, EDGEPLANE_POOL_TOKEN: token });
    expect(read).toThrow(/--token .* is wrong: a token without spaces/);
    expect(read).not.toThrow(/secr/);
  }
});

test("help names every setting's twin", () => {
  expect(readSettings(["-h"], {})).toBeNull();
  const lines = helpText().split("\n");
  const flags = lines.flatMap((line, index) => {
    const [, name] = /^ {2}--([a-z-]+)/.exec(line) ?? [];
    return name === undefined || name === "help" ? [] : { name, twin: lines[index + 1]?.trim() };
  });
  expect(flags.length).toBeGreaterThan(25);
  for (const { name, twin } of flags)
    expect(twin).toMatch(new RegExp(`^EDGEPLANE_(POOL_)?${name.replaceAll("-", "_").toUpperCase()}$`));
  expect(helpText()).toContain("default 9464");
});
