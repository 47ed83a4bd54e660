/** Hardware: the devices that pools have reported. */
import * as z from "zod";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import type { Device } from "../contract/channel.ts";
import type { Env } from "../env.ts";
import { hasRoom } from "./quotas.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { QuotaVars } from "./quotas.ts";
import { isDatabaseFull } from "./sql.ts";

const RECORDED_MS = 60_000;
const CACHED_DEVICES = 500;
const MAX_NAME_CHARS = 128;
/** As a model or a deployment may name it. */
const MAX_SKU_CHARS = 64;

const recorded = createTtlCache<true>(CACHED_DEVICES);

export const HardwareSchema = z.object({ sku: z.string(), name: z.string() }).meta({ id: "Hardware" });
export type Hardware = z.infer<typeof HardwareSchema>;

/**
 * Records the kinds of device that a pool has, up to 1,000 of all pools. Costs nothing when this isolate did so within
 * a minute.
 */
export async function registerDevices(env: QuotaVars & Pick<Env, "DB">, devices: readonly Device[]): Promise<void> {
  const kinds = new Map(devices.map((device) => [skuOf(device), device.name.slice(0, MAX_NAME_CHARS)]));
  const fresh = [...kinds].filter(([sku]) => recorded.get(sku) === undefined);
  if (fresh.length === 0) return;
  const statement = env.DB.prepare(
    `INSERT INTO devices (sku, name, seen_at) SELECT ?1, ?2, ?3
     WHERE EXISTS (SELECT 1 FROM devices WHERE sku = ?1) OR ${hasRoom(env, "devices", "''")}
     ON CONFLICT DO UPDATE SET name = ?2, seen_at = ?3`,
  );
  try {
    await env.DB.batch(fresh.map(([sku, name]) => statement.bind(sku, name, Date.now())));
  } catch (thrown) {
    if (!isDatabaseFull(thrown)) throw thrown;
    log.error("devices_not_recorded", { devices: fresh.length, reason: reasonOf(thrown) });
    return;
  }
  for (const [sku] of fresh) recorded.set(sku, true, RECORDED_MS);
}

/** All kinds of device that pools have reported, in Replicate's form. */
export async function listHardware(db: D1Database): Promise<Hardware[]> {
  const { results } = await db.prepare("SELECT sku, name FROM devices ORDER BY sku LIMIT 1000").all();
  return results.map((row) => HardwareSchema.parse(row));
}

function skuOf(device: Device): string {
  return device.kind === "cpu" ? "cpu" : hardwareClassOf(device.name);
}

/** The hardware class of a device that pools name so: `nvidia-h200` for `NVIDIA H200`. */
export function hardwareClassOf(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_SKU_CHARS)
    .replace(/^-|-$/g, "");
}
