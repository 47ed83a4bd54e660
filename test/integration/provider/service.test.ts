/** `edgeplane-provider` as a process, with machines of its own on this one, and an edge that speaks the contract. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TestEdge } from "../../../provider/test-edge.ts";
import { startTimeOf } from "../../../scripts/lib/process-info.ts";
import type { DesiredMachine } from "../../../src/contract/provider.ts";

const program = fileURLToPath(new URL("../../../provider/main.ts", import.meta.url));
const POOL = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"];
const A = "m0123456789ab";

let folder: string;
let edge: TestEdge;
let url: string;
const services: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "edgeplane-service-"));
  edge = new TestEdge();
  url = (await edge.start()).href;
});
afterEach(async () => {
  for (const service of services.splice(0)) service.kill("SIGKILL");
  await edge.stop();
  rmSync(folder, { recursive: true, force: true });
});

function start(entry: object, env: Record<string, string> = {}, entries?: object[]) {
  const config = join(folder, "providers.json");
  const here = { name: "here", kind: "local", command: POOL, stopMs: 2000, hardware: { cpu: { max: 2 } } };
  writeFileSync(config, JSON.stringify({ providers: entries ?? [{ ...here, ...entry }] }));
  const settings = { EDGEPLANE_URL: url, EDGEPLANE_PROVIDER_TOKEN: "epv_test", EDGEPLANE_PROVIDERS: config };
  const service = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program], {
    env: { ...process.env, ...settings, EDGEPLANE_STATE_DIR: join(folder, "state"), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  services.push(service);
  return { service, said: text(service.stderr), ended: once(service, "exit") };
}

const wanted = (state: "running" | "gone"): DesiredMachine => ({
  machine: A,
  state,
  offer: "cpu",
  hardware: "cpu",
  name: `edgeplane-${A}`,
  poolToken: "epp_token",
  edgeUrl: url,
  lanes: ["default"],
});
const pid = (): number =>
  Number(readFileSync(join(folder, `state/here/machines/edgeplane-${A}/process`), "utf8").split("\n")[0]);

it("makes a machine, leaves it when it ends, finds it again, and returns it", async () => {
  const first = start({});
  edge.desire([wanted("running")]);
  await expect.poll(() => edge.last?.machines).toMatchObject([{ machine: A, state: "running" }]);
  const machine = pid();
  first.service.kill("SIGTERM");
  expect(await first.ended).toStrictEqual([0, null]);
  expect(startTimeOf(machine)).not.toBeNull();
  const before = edge.syncs.length;
  start({});
  await expect.poll(() => edge.syncs.length).toBeGreaterThan(before);
  expect(edge.last?.machines).toMatchObject([{ machine: A, state: "running" }]);
  edge.desire([wanted("gone")]);
  await expect.poll(() => edge.last?.machines).toStrictEqual([]);
  expect(startTimeOf(machine)).toBeNull();
});

it("finds a machine again that it was killed beside", async () => {
  const first = start({});
  edge.desire([wanted("running")]);
  await expect.poll(() => existsSync(join(folder, `state/here/machines/edgeplane-${A}/process`))).toBe(true);
  first.service.kill("SIGKILL");
  await first.ended;
  const machine = pid();
  start({});
  edge.desire([]);
  await expect.poll(() => edge.last?.orphansReturned).toBe(1);
  await expect.poll(() => startTimeOf(machine)).toBeNull();
});

it("takes its machines along where it is told to", async () => {
  const { service, ended } = start({ returnOnStop: true });
  edge.desire([wanted("running")]);
  await expect.poll(() => edge.last?.machines).toMatchObject([{ machine: A, state: "running" }]);
  const machine = pid();
  service.kill("SIGTERM");
  expect(await ended).toStrictEqual([0, null]);
  expect(startTimeOf(machine)).toBeNull();
});

it("serves several entries at once, each by its own name and with machines of its own", async () => {
  const entries = ["a", "b"].map((name) => {
    return { name, kind: "local", command: POOL, returnOnStop: true, hardware: { [`cpu-${name}`]: {} } };
  });
  const { service, ended } = start({}, {}, entries);
  await expect.poll(() => new Set(edge.syncs.map(({ provider }) => provider))).toStrictEqual(new Set(["a", "b"]));
  const offered = edge.syncs.flatMap(({ provider, offers }) => offers.map(({ id }) => `${provider}: ${id}`));
  await expect.poll(() => new Set(offered)).toStrictEqual(new Set(["a: cpu-a", "b: cpu-b"]));
  edge.desire([{ ...wanted("running"), offer: "cpu-a" }]);
  await expect.poll(() => edge.syncs.findLast(({ provider }) => provider === "a")?.machines).toHaveLength(1);
  await expect
    .poll(() => edge.syncs.findLast(({ provider }) => provider === "b")?.refused)
    .toMatchObject([{ machine: A, reason: "invalid" }]);
  service.kill("SIGTERM");
  expect(await ended).toStrictEqual([0, null]);
});

it("hands no key of another provider on to a machine of its own, nor its token", async () => {
  const POOL_TELLS = [
    "sh",
    "-c",
    `env >"${join(folder, "environment.new")}" && mv "${join(folder, "environment.new")}" "${join(folder, "environment")}"; exec sleep 60`,
  ];
  const cpu = { name: "here", kind: "local", command: POOL_TELLS, returnOnStop: true, hardware: { cpu: {} } };
  const far = { name: "far", kind: "runpod", baseUrl: "http://127.0.0.1:1", apiKeyEnv: "FAR_KEY", hardware: {} };
  const { service, ended } = start({}, { FAR_KEY: "secret-of-far" }, [cpu, far]);
  edge.desire([wanted("running")]);
  await expect.poll(() => existsSync(join(folder, "environment"))).toBe(true);
  const environment = readFileSync(join(folder, "environment"), "utf8");
  expect(environment).toContain("EDGEPLANE_POOL_NAME=");
  expect(environment).not.toMatch(/secret-of-far|epv_test/);
  service.kill("SIGTERM");
  expect(await ended).toStrictEqual([0, null]);
});

it("ends with one line when a setting is wrong, or the edge refuses it", async () => {
  const wrong = start({ hardware: { cpu: { max: 0 } } });
  expect(await wrong.ended).toStrictEqual([2, null]);
  expect(await wrong.said).toMatch(/^edgeplane-provider: .*providers\.json: providers\.0\.hardware\.cpu\.max: .*\n$/);
  const entry = { name: "a", kind: "runpod", baseUrl: "http://127.0.0.1:1", apiKeyEnv: "A_KEY", hardware: {} };
  const shared = start({}, { A_KEY: "secret" }, [entry, { ...entry, name: "b" }]);
  expect(await shared.ended).toStrictEqual([2, null]);
  expect(await shared.said).toMatch(/^edgeplane-provider: a and b rent at one account .*\n$/);
  edge.refuses = 401;
  const refused = start({});
  expect(await refused.ended).toStrictEqual([2, null]);
  expect(await refused.said).toBe("edgeplane-provider: the edge answered 401: this is a test\n");
});
