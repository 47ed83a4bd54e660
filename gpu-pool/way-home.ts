/**
 * The way home of events, by the settings: `POST /pool/v1/events`, or parked in a Redis over REST (`--delivery kv`).
 */
import { randomUUID } from "node:crypto";
import type { ClaimRef } from "../src/contract/channel.ts";
import { describeKvError, PARKED_TTL_SECONDS, probeKey } from "../src/contract/parked.ts";
import { createHttpCarrier } from "./delivery/carrier.ts";
import type { EventCarrier } from "./delivery/carrier.ts";
import { KvCarrier } from "./delivery/kv-carrier.ts";
import type { KvCarrierOptions } from "./delivery/kv-carrier.ts";
import { createParkedRedis, openRedis } from "./delivery/parked-redis.ts";
import type { KvAccess } from "./delivery/parked-redis.ts";
import type { Clock } from "./scheduling/clock.ts";
import { SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";
import type { HttpClient } from "./transport/http-client.ts";

export type WayOptions = {
  session: string;
  http: HttpClient;
  clock: Clock;
  channel: KvCarrierOptions["channel"];
  onCancel(claims: ClaimRef[]): void;
};

/** Makes the carrier of one pool session. */
export type WayHome = (options: WayOptions) => EventCarrier;

/** Opens the way of the settings; Redis is probed first. Throws `SettingsError`, which says what is wrong. */
export async function openWayHome(settings: Settings): Promise<WayHome> {
  if (settings.delivery === "http") return ({ http }) => createHttpCarrier(http);
  const access = { url: settings["kv-url"], token: settings["kv-token"], prefix: settings["kv-prefix"] };
  if (access.url === undefined)
    throw new SettingsError("--delivery kv needs --kv-url (or EDGEPLANE_KV_URL): the address of a Redis over REST.");
  if (access.token === undefined)
    throw new SettingsError("--delivery kv needs --kv-token (or EDGEPLANE_KV_TOKEN): the token for that Redis.");
  return openKv({ ...access, url: access.url, token: access.token });
}

async function openKv(access: KvAccess): Promise<WayHome> {
  const redis = openRedis(access);
  const probe = randomUUID();
  const key = probeKey(access.prefix, probe);
  const writeProbe = () => redis.set(key, probe, { ex: PARKED_TTL_SECONDS });
  try {
    await writeProbe();
    if ((await redis.get(key)) !== probe) throw new Error("what was written can't be read back");
  } catch (error) {
    throw new SettingsError(refusalOf(access, describeKvError(error)));
  }
  return ({ session, clock, channel, onCancel }) =>
    new KvCarrier({
      redis: createParkedRedis(redis, access.prefix, session),
      clock,
      hello: { prefix: access.prefix, probe },
      channel,
      onCancel,
      renewProbe: () => void writeProbe().catch(() => {}),
    });
}

function refusalOf({ url, prefix }: KvAccess, why: string): string {
  if (/WRONGPASS|NOAUTH|unauthorized/i.test(why)) {
    return `--kv-token: ${url.origin} does not know this token (${why})`;
  }
  if (/NOPERM/i.test(why)) {
    return `--kv-prefix ${prefix}: the token may not write keys that begin so, or not write at all (${why})`;
  }
  return `--kv-url ${url.href} is not a Redis over REST that can be reached: ${why}`;
}
