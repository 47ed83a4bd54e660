/**
 * Vast.ai's instances, by its REST API (https://docs.vast.ai/api-reference). An offer is one machine of one host and
 * stands for a while only; the cheapest that fit are offered. Base rate and disk are billed by the second, traffic by
 * the byte (and is in no price here). The API sends no Retry-After: calls keep the distance that its documents name.
 */
import * as z from "zod";
import type { Offer } from "../../src/contract/provider.ts";
import { HardwareSchema } from "../../src/contract/provider.ts";
import { apiAt, brief, parsed } from "../http.ts";
import { nanoOf } from "../money.ts";
import { poolCommand, poolEnv } from "../pool-command.ts";
import { ProviderError } from "../provider.ts";
import type { Order, Provider, Seen } from "../provider.ts";

const HardwareChoiceSchema = z.strictObject({
  /** Vast's names of the GPU, such as `RTX 4090`: any of them. */
  gpus: z.array(z.string().min(1)).min(1),
  count: z.int().min(1).max(64).default(1),
  /** An image with curl, tar and Python 3.8 or newer. */
  image: z.string().min(1),
  diskGb: z.int().min(8).default(50),
  /** Rents what may be taken away at any time, and bids so many times the least that is asked. */
  spot: z.boolean().default(false),
  bidFactor: z.number().min(1).max(10).default(1.2),
  minReliability: z.number().min(0).max(1).default(0.98),
  countries: z.array(z.string().regex(/^[A-Z]{2}$/, "two capital letters, such as US")).default([]),
  minDownMbps: z.number().nonnegative().default(0),
  minCuda: z.number().positive().optional(),
  datacenterOnly: z.boolean().default(false),
  /** How many offers to tell the edge of, the cheapest first. */
  maxOffers: z.int().min(1).max(100).default(20),
  /** What the container runs, for a shell; by default it installs the pool from the edge and stays. */
  command: z.string().optional(),
  env: z.record(z.string(), z.string()).default({}),
});
type Choice = z.infer<typeof HardwareChoiceSchema>;

export const VastSchema = z.strictObject({
  baseUrl: z.url({ protocol: /^https?$/ }).default("https://console.vast.ai"),
  /** The time between two creates: Vast's documents name 4.5 s for an address. */
  createGapMs: z.int().nonnegative().default(4500),
  /** For how long it is left alone after a 429, of which it doesn't say when to call again. */
  quietMs: z.int().nonnegative().default(15_000),
  hardware: z.record(HardwareSchema, HardwareChoiceSchema),
});
export type VastOptions = z.infer<typeof VastSchema>;

const BundlesSchema = z.object({
  offers: z.array(
    z.object({
      id: z.int(),
      machine_id: z.int(),
      num_gpus: z.int(),
      dph_total: z.number(),
      min_bid: z.number().nullish(),
      reliability: z.number().nullish(),
      geolocation: z.string().nullish(),
      driver_version: z.string().nullish(),
      inet_down: z.number().nullish(),
    }),
  ),
});
const InstanceSchema = z.object({
  id: z.int(),
  label: z.string().nullish(),
  machine_id: z.int().nullish(),
  start_date: z.number().nullish(),
  actual_status: z.string().nullish(),
});
const InstancesSchema = z.object({ instances: z.array(InstanceSchema), next_token: z.string().nullish() });
const CreatedSchema = z.object({ success: z.literal(true), new_contract: z.int() });
const ErrorSchema = z.object({ error: z.string().optional(), msg: z.string().optional() });
const UserSchema = z.object({ credit: z.number().nullish(), balance: z.number().nullish() });

const SECOND_MS = 1000;
const MAX_PAGES = 80;

export function vast({ baseUrl, hardware, createGapMs, quietMs }: VastOptions, key: string): Provider {
  const api = apiAt(new URL(baseUrl), key, detailOf);
  let lastCreateMs = -Infinity;

  /** Of "too many requests" without a time, it wants some rest. */
  async function calmly<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (error instanceof ProviderError && error.reason === "rate_limited" && error.retryAfterMs === null)
        throw new ProviderError("rate_limited", error.message, quietMs);
      throw error;
    }
  }

  async function search(name: string, choice: Choice, signal: AbortSignal): Promise<Offer[]> {
    const { offers } = await calmly(
      api.read("/api/v0/bundles/", BundlesSchema, { method: "POST", body: queryOf(choice), signal }),
    );
    return offers.map((offer) => ({
      id: `${name}/${offer.id}`,
      hardware: name,
      devices: offer.num_gpus,
      pricePerHourNano: nanoOf(offer.dph_total * (choice.spot ? choice.bidFactor : 1)),
      currency: "USD",
      billingIncrementS: 1,
      spot: choice.spot,
      ...(typeof offer.geolocation === "string" && offer.geolocation !== "" ? { region: offer.geolocation } : {}),
      ...(typeof offer.reliability === "number" ? { reliability: Math.min(1, Math.max(0, offer.reliability)) } : {}),
      ...(typeof offer.driver_version === "string" ? { driver: offer.driver_version } : {}),
      ...(typeof offer.inet_down === "number" ? { downMbps: offer.inet_down } : {}),
      host: String(offer.machine_id),
      available: 1,
    }));
  }

  /** The bid that wins offer `id` now. An error here means that nothing was made. */
  async function bidFor(id: number, choice: Choice, signal: AbortSignal): Promise<number> {
    const body = { ...queryOf(choice), id: { eq: id } };
    const { offers } = await calmly(
      api.read("/api/v0/bundles/", BundlesSchema, { method: "POST", body, signal }),
    ).catch((error: unknown) => {
      if (error instanceof ProviderError && (error.reason === "ambiguous" || error.reason === "timeout"))
        throw new ProviderError("refused", error.message, error.retryAfterMs);
      throw error;
    });
    const least = offers.find((offer) => offer.id === id)?.min_bid;
    if (typeof least !== "number") throw new ProviderError("sold_out", `Vast has no offer ${id} any more`);
    return Math.round(least * choice.bidFactor * 1000) / 1000;
  }

  return {
    kind: "vast",
    async offers(signal) {
      const found: Offer[] = [];
      for (const [name, choice] of Object.entries(hardware)) found.push(...(await search(name, choice, signal)));
      return found;
    },
    async list(signal) {
      const seen: Seen[] = [];
      let after: string | null = null;
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const query = new URLSearchParams({ limit: "25", ...(after === null ? {} : { after_token: after }) });
        const { instances, next_token: next = null } = await calmly(
          api.read(`/api/v1/instances/?${query.toString()}`, InstancesSchema, { signal }),
        );
        seen.push(...instances.map(seenOf));
        if (next === null) return seen;
        after = next;
      }
      throw new ProviderError("refused", `Vast's list has more than ${MAX_PAGES} pages`);
    },
    async create(order, signal) {
      const [name = "", ask = ""] = order.offer.split("/");
      const choice = hardware[name];
      if (choice === undefined || !/^\d+$/.test(ask))
        throw new ProviderError("invalid", `there is no offer ${JSON.stringify(order.offer)} any more`);
      const waitMs = lastCreateMs + createGapMs - performance.now();
      if (waitMs > 0) throw new ProviderError("rate_limited", `Vast makes one instance in ${createGapMs} ms`, waitMs);
      lastCreateMs = performance.now();
      const price = choice.spot ? { price: await bidFor(Number(ask), choice, signal) } : {};
      const body = { ...instanceOf(order, choice), ...price };
      const { status, text } = await calmly(api.call(`/api/v0/asks/${ask}/`, { method: "PUT", body, signal }));
      if (status < 300) {
        const made = CreatedSchema.safeParse(parsed(text, z.unknown(), "the new instance"));
        if (made.success) return String(made.data.new_contract);
        // A success that names no instance may have made one.
        throw new ProviderError(
          /"success":\s*false/.test(text) ? "refused" : "ambiguous",
          `Vast answered: ${brief(text)}`,
        );
      }
      const why = `Vast answered ${status}: ${brief(detailOf(text))}`;
      if (status === 404 || status === 410) throw new ProviderError("sold_out", why);
      throw new ProviderError(status === 400 ? "invalid" : "refused", why);
    },
    async destroy(providerId, signal) {
      const path = `/api/v0/instances/${encodeURIComponent(providerId)}/`;
      const { status, text } = await calmly(api.call(path, { method: "DELETE", signal }));
      if (status >= 300 && status !== 404)
        throw new ProviderError("refused", `Vast answered ${status}: ${brief(text)}`);
    },
    async balance(signal) {
      const { status, text } = await api.call("/api/v0/users/current/", { signal });
      // A key that may rent needs no right to look at the account.
      if (status >= 300) return null;
      const { credit, balance } = parsed(text, UserSchema, "the account");
      const left = credit ?? balance;
      return typeof left === "number" ? { nano: nanoOf(left), currency: "USD" } : null;
    },
  };
}

function queryOf(choice: Choice): object {
  return {
    gpu_name: { in: choice.gpus },
    num_gpus: { eq: choice.count },
    verified: { eq: true },
    rentable: { eq: true },
    rented: { eq: false },
    reliability: { gte: choice.minReliability },
    disk_space: { gte: choice.diskGb },
    ...(choice.countries.length === 0 ? {} : { geolocation: { in: choice.countries } }),
    ...(choice.minDownMbps === 0 ? {} : { inet_down: { gte: choice.minDownMbps } }),
    ...(choice.minCuda === undefined ? {} : { cuda_max_good: { gte: choice.minCuda } }),
    ...(choice.datacenterOnly ? { datacenter: { eq: true } } : {}),
    type: choice.spot ? "bid" : "ondemand",
    allocated_storage: choice.diskGb,
    order: [["dph_total", "asc"]],
    limit: choice.maxOffers,
  };
}

function instanceOf(order: Order, choice: Choice): object {
  return {
    image: choice.image,
    label: order.name,
    disk: choice.diskGb,
    env: { ...choice.env, ...poolEnv(order) },
    runtype: "args",
    args: ["bash", "-c", choice.command ?? poolCommand],
    target_state: "running",
    cancel_unavail: true,
  };
}

/** A host that is away without a heartbeat may come back; one that is offline costs nothing, and serves nobody. */
function seenOf({
  id,
  label,
  machine_id: host,
  start_date: startS,
  actual_status: status,
}: z.infer<typeof InstanceSchema>): Seen {
  return {
    providerId: String(id),
    name: label ?? "-",
    offer: null,
    state: stateOf(status ?? null),
    createdAtMs: Math.round(Math.max(0, startS ?? 0) * SECOND_MS),
    ...(typeof host === "number" ? { host: String(host) } : {}),
  };
}

function stateOf(status: string | null): Seen["state"] {
  if (status === null || status === "created") return "creating";
  if (status === "loading" || status === "rebooting") return "booting";
  return ["exited", "stopped", "offline"].includes(status) ? "ended" : "running";
}

function detailOf(text: string): string {
  try {
    const { error = "", msg = "" } = ErrorSchema.parse(JSON.parse(text));
    return msg === "" ? error : msg;
  } catch {
    return text;
  }
}
