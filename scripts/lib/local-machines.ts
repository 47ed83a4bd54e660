/**
 * What `npm start` shows of scaling: a model that no pool has until somebody asks for it. The provider service runs in
 * this process, with a `local` provider: a machine is a pool of its own, made when a prediction waits and returned when
 * nothing does. The model is pushed, as a user's would be.
 *
 *     token → settings, unless some say already what to rent → push, unless it is known → provider service
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import * as z from "zod";
import { timesOf } from "../../provider/configuration.ts";
import { edgeAt } from "../../provider/edge.ts";
import { Entry } from "../../provider/entry.ts";
import { namesWith } from "../../provider/names.ts";
import { local, LocalSchema } from "../../provider/providers/local.ts";
import { Reconciler } from "../../provider/reconciler.ts";
import { callAdmin } from "./local-accounts.ts";
import { terseLine } from "./log-lines.ts";
import type { Say } from "./log-lines.ts";

export const SCALED_MODEL = "local/scale-to-zero";
const folder = fileURLToPath(new URL("../../examples/scale-to-zero", import.meta.url));
const command = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const NAME = "local";
/** What an hour of this machine is taken to cost, so that there is a cost to see. */
const PRICE_PER_HOUR = 0.36;
const machineClass = { lanes: ["elastic"], max: 1, target_wait_s: 5, keep_alive_s: { min: 10, max: 30 } };
const price = { per_second_nano: { "*": 200_000 } };

const SettingsSchema = z.object({
  number: z.number(),
  settings: z.looseObject({
    scaling: z.looseObject({ classes: z.record(z.string(), z.unknown()).default({}) }).prefault({}),
    prices: z.looseObject({ models: z.record(z.string(), z.unknown()).default({}) }).optional(),
  }),
});
const MadeTokenSchema = z.object({ token: z.string() });
/** `hint`: its last characters. */
const TokensSchema = z.object({ results: z.array(z.object({ hint: z.string() })) });
type Admin = (method: "GET" | "POST", path: string, body?: unknown) => Promise<unknown>;

export type LocalMachinesOptions = {
  url: string;
  apiKey: string;
  adminKey: string;
  stateDir: string;
  python: string;
  say: Say;
  signal: AbortSignal;
};
export type LocalMachines = {
  /** Returns the machines. */
  stop(): Promise<void>;
};

/** Rejects when the edge refuses a step, or `signal` ends it. */
export async function startMachines(options: LocalMachinesOptions): Promise<LocalMachines> {
  const { url, adminKey, stateDir, python, say, signal } = options;
  const admin: Admin = (method, path, body) => callAdmin(url, adminKey, method, path, body);
  const folderOfMachines = join(stateDir, "provider");
  const token = await tokenOf(admin, folderOfMachines);
  await publish(admin);
  await pushModel(options);
  signal.throwIfAborted();
  // What they run is pushed: they bring no model of their own.
  const models = join(folderOfMachines, "models");
  mkdirSync(models, { recursive: true });
  const env = { EDGEPLANE_MODELS: models, EDGEPLANE_PYTHON: python };
  const hardware = { cpu: { max: 1, pricePerHour: PRICE_PER_HOUR, env } };
  const entry = { name: NAME, kind: "local" as const, prefix: "edgeplane-", ...LocalSchema.parse({ hardware }) };
  const names = namesWith(entry.prefix);
  const provider = local({ ...entry, returnOnStop: true }, folderOfMachines, names);
  const log = pino({ base: null }, { write: (line: string) => tell(say, line) });
  const service = new Entry({
    provider,
    reconciler: new Reconciler({ ...entry, names, times: timesOf(entry) }),
    edge: edgeAt(new URL(url), token),
    log,
    onRefused: (why) => say(`machines │ ${why}`),
  });
  service.start();
  return {
    async stop() {
      await service.stop();
      await provider.close?.();
    },
  };
}

/** Ends what an earlier start left running that was killed: nobody else looks for it where no machines are made. */
export async function endLeftMachines(stateDir: string): Promise<void> {
  const folderOfMachines = join(stateDir, "provider");
  if (!existsSync(folderOfMachines)) return;
  const options = LocalSchema.parse({ hardware: {}, returnOnStop: true });
  await local(options, folderOfMachines, namesWith("edgeplane-")).close?.();
}

function tell(say: Say, line: string): void {
  const terse = terseLine(line);
  if (terse !== null) say(`machines │ ${terse}`);
}

/** The service's token: made once a state folder, and kept there. */
async function tokenOf(admin: Admin, kept: string): Promise<string> {
  mkdirSync(kept, { recursive: true, mode: 0o700 });
  const file = join(kept, "token");
  const known = existsSync(file) ? readFileSync(file, "utf8") : "";
  const { results } = TokensSchema.parse(await admin("GET", "provider-tokens"));
  if (known !== "" && results.some(({ hint }) => known.endsWith(hint))) return known;
  const asked = { name: "npm start", providers: [NAME] };
  const { token } = MadeTokenSchema.parse(await admin("POST", "provider-tokens", asked));
  writeFileSync(file, token, { mode: 0o600 });
  return token;
}

/** What to rent, and what the model costs: unless the operator has said something of it. */
async function publish(admin: Admin): Promise<void> {
  const { number, settings } = SettingsSchema.parse(await admin("GET", "settings"));
  if (Object.keys(settings.scaling.classes).length > 0) return;
  const { scaling, prices } = settings;
  const priced = { currency: "USD", ...prices, models: { ...prices?.models, [SCALED_MODEL]: price } };
  const changed = { ...settings, scaling: { ...scaling, classes: { cpu: machineClass } }, prices: priced };
  const why = "npm start: machines of this one for the lane elastic";
  await admin("POST", "settings", { settings: changed, why, expected_number: number });
}

/** By the command, as a user would; what is there already is not sent again. */
async function pushModel({ url, apiKey, signal, python }: LocalMachinesOptions): Promise<void> {
  const model = await fetch(`${url}/v1/models/${SCALED_MODEL}`, { headers: { authorization: `Bearer ${apiKey}` } });
  await model.body?.cancel();
  if (model.ok) return;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", command, "push", folder], {
    stdio: ["ignore", "ignore", "pipe"],
    signal,
    env: { ...process.env, EDGEPLANE_URL: url, EDGEPLANE_API_KEY: apiKey, EDGEPLANE_PYTHON: python },
  });
  let said = "";
  child.stderr.on("data", (part: Buffer) => (said += part.toString()));
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("close", resolve);
  if ((await promise) !== 0) throw new Error(`${SCALED_MODEL} could not be pushed: ${said.trim()}`);
}
