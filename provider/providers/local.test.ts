import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { startTimeOf } from "../../scripts/lib/process-info.ts";
import { namesWith } from "../names.ts";
import type { Order, Provider } from "../provider.ts";
import { local, LocalSchema } from "./local.ts";
import { PATIENCE } from "../../test/patience.ts";

const POLITE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done"];
const STUBBORN = ["sh", "-c", "trap '' TERM; while :; do sleep 0.02; done"];
const signal = new AbortController().signal;
const names = namesWith("edgeplane-");
const A = "m0123456789ab";
const NAME = `edgeplane-${A}`;

const folders: string[] = [];
const started: Provider[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const provider of started.splice(0)) await provider.close?.();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function start(options: object = {}, before?: string) {
  const folder = before ?? mkdtempSync(join(tmpdir(), "edgeplane-local-"));
  if (before === undefined) folders.push(folder);
  const all = { hardware: { cpu: { max: 2, pricePerHour: 0.25 } }, command: POLITE, stopMs: 300, returnOnStop: true };
  const provider = local(LocalSchema.parse({ ...all, ...options }), folder, names);
  started.push(provider);
  return { provider, folder, machine: join(folder, "machines", NAME) };
}

const order = (machine = A, changes: Partial<Order> = {}): Order => ({
  name: names.nameOf(machine),
  machine,
  offer: "cpu",
  hardware: "cpu",
  edgeUrl: "http://127.0.0.1:1",
  poolToken: "epp_secret",
  lanes: ["default"],
  ...changes,
});

const states = async (provider: Provider) => (await provider.list(signal)).map(({ name, state }) => [name, state]);
/** The machine's process, once it is noted. */
async function pidOf(machine: string): Promise<number> {
  await vi.waitUntil(() => existsSync(join(machine, "process")), PATIENCE);
  return Number(readFileSync(join(machine, "process"), "utf8").split("\n")[0]);
}

it("makes a machine, finds it again after a restart of the service, and returns it", async () => {
  const { provider, folder, machine } = start();
  expect(await provider.create(order(), signal)).toBe(NAME);
  const pid = await pidOf(machine);
  const again = start({}, folder).provider;
  expect(await again.list(signal)).toMatchObject([{ providerId: NAME, name: NAME, offer: "cpu", state: "running" }]);
  expect(startTimeOf(pid)).not.toBeNull();
  await again.destroy(NAME, signal);
  expect(startTimeOf(pid)).toBeNull();
  expect(existsSync(machine)).toBe(false);
  expect(await states(again)).toStrictEqual([]);
});

it("offers what is left of its machines, with their price", async () => {
  const { provider } = start();
  const [offer] = await provider.offers(signal);
  expect(offer).toMatchObject({ id: "cpu", hardware: "cpu", pricePerHourNano: 250_000_000, available: 2, spot: false });
  await provider.create(order(), signal);
  await provider.create(order("m0123456789ac"), signal);
  expect(await provider.offers(signal)).toMatchObject([{ available: 0 }]);
  expect(() => provider.create(order("m0123456789ad"), signal)).toThrow("2 machines are here already");
});

it("tells a machine whose process died, and takes its folder away", async () => {
  const { provider, machine } = start();
  await provider.create(order(), signal);
  process.kill(await pidOf(machine), "SIGKILL");
  await expect.poll(() => states(provider)).toStrictEqual([[NAME, "ended"]]);
  await provider.destroy(NAME, signal);
  expect(await states(provider)).toStrictEqual([]);
});

it("kills what doesn't leave when asked", async () => {
  const { provider, machine } = start({ command: STUBBORN, stopMs: 50 });
  await provider.create(order(), signal);
  const pid = await pidOf(machine);
  await provider.destroy(NAME, signal);
  expect(startTimeOf(pid)).toBeNull();
});

it("ends no process that only has the number of one of its own", async () => {
  const { provider, machine } = start();
  mkdirSync(machine, { recursive: true });
  writeFileSync(join(machine, "machine.json"), JSON.stringify({ offer: "cpu", createdAtMs: 1 }));
  writeFileSync(join(machine, "process"), `${process.pid}\nMon Jan  1 00:00:00 2001\n`);
  expect(await states(provider)).toStrictEqual([[NAME, "ended"]]);
  await provider.destroy(NAME, signal);
  expect(existsSync(machine)).toBe(false);
});

it("takes a folder in which nothing was started for a machine that is made, and then for one that has ended", async () => {
  const { provider, machine } = start();
  mkdirSync(machine, { recursive: true });
  const record = (createdAtMs: number) =>
    writeFileSync(join(machine, "machine.json"), JSON.stringify({ offer: "cpu", createdAtMs }));
  record(Date.now());
  expect(await states(provider)).toStrictEqual([[NAME, "creating"]]);
  record(Date.now() - 60_000);
  expect(await states(provider)).toStrictEqual([[NAME, "ended"]]);
});

it("leaves alone what isn't named as its machines are", async () => {
  const { provider, folder } = start();
  const other = join(folder, "machines", "notes");
  mkdirSync(other);
  expect(await states(provider)).toStrictEqual([]);
  await provider.destroy("notes", signal);
  await provider.destroy("../machines/notes", signal);
  expect(existsSync(other)).toBe(true);
});

it("gives the pool its settings, and the token where nobody sees it", async () => {
  vi.stubEnv("EDGEPLANE_PROVIDER_TOKEN", "epv_of_the_service");
  const told = mkdtempSync(join(tmpdir(), "edgeplane-told-"));
  folders.push(told);
  const tell = 'env >"$0/env.new" && mv "$0/env.new" "$0/env" && exec sleep 60';
  const hardware = { cpu: { env: { EDGEPLANE_MODELS: "/models" } } };
  const { provider, machine } = start({ command: ["sh", "-c", tell, told], hardware });
  await provider.create(order(), signal);
  await vi.waitUntil(() => existsSync(join(told, "env")), PATIENCE);
  const env = readFileSync(join(told, "env"), "utf8");
  expect(env).toContain("EDGEPLANE_URL=http://127.0.0.1:1\n");
  expect(env).toContain(`EDGEPLANE_POOL_NAME=${NAME}\n`);
  expect(env).toContain("EDGEPLANE_MODELS=/models\n");
  expect(env).not.toMatch(/epp_secret|epv_of_the_service/);
  const tokenFile = join(machine, "token");
  expect(env).toContain(`EDGEPLANE_POOL_TOKEN_FILE=${tokenFile}\n`);
  expect(readFileSync(tokenFile, "utf8")).toBe("epp_secret");
  expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
});
