import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { refuseArguments } from "./refuse-arguments.ts";
import { StackError } from "./stack-error.ts";
import { readStartSettings } from "./start-settings.ts";

const dir = mkdtempSync(join(tmpdir(), "edgeplane-start-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("an empty variable counts as unset", () => {
  const usual = readStartSettings({});
  expect(usual).toMatchObject({ port: 8787, stateDir: ".edgeplane", showsExamples: true, allowLoopback: false });
  const empty = { PORT: "", EDGEPLANE_STATE_DIR: "", EDGEPLANE_MODELS: "", EDGEPLANE_ALLOW_LOOPBACK: "" };
  expect(readStartSettings(empty)).toEqual(usual);
});

test("a folder of one's own needs a model in it", () => {
  expect(() => readStartSettings({ EDGEPLANE_MODELS: dir })).toThrow(/has no subfolder with a cog\.yaml/);
  expect(() => readStartSettings({ EDGEPLANE_MODELS: "/nowhere" })).toThrow(StackError);
  mkdirSync(join(dir, "mine"));
  writeFileSync(join(dir, "mine/cog.yaml"), "");
  expect(readStartSettings({ EDGEPLANE_MODELS: dir })).toMatchObject({ models: dir, showsExamples: false });
});

test.each([
  ["PORT", "many"],
  ["PORT", "70000"],
  ["EDGEPLANE_ALLOW_LOOPBACK", "yes"],
  ["EDGEPLANE_OPERATOR_ORIGINS", "10.0.0.5:8790"],
])("%s=%s is refused by its name", (name, value) => {
  expect(() => readStartSettings({ [name]: value })).toThrow(new RegExp(`^${name} is wrong: `));
});

test("switches and lists are read", () => {
  const env = { EDGEPLANE_ALLOW_LOOPBACK: "true", EDGEPLANE_OPERATOR_ORIGINS: "http://10.0.0.5:8790, http://b:1" };
  expect(readStartSettings(env)).toMatchObject({
    allowLoopback: true,
    operatorOrigins: ["http://10.0.0.5:8790", "http://b:1"],
  });
});

test("arguments are refused, and how to set things is told", () => {
  refuseArguments("npm start --", []);
  const given = () => refuseArguments("npm start --", ["--port", "19555"]);
  expect(given).toThrow(StackError);
  expect(given).toThrow(/given "--port" "19555": .*PORT=8788; npm start -- --help names them/);
});
