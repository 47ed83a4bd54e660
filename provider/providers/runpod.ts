/**
 * RunPod's pods, by its REST API v2 (https://docs.runpod.io/api-reference-v2/overview; v1 was retired on 15 November
 * 2026). Its list prices are per card and hour, billed by the second. Version 2 rents on demand only, and doesn't tell
 * what the account has left: that is asked of RunPod's GraphQL API, as its own command does.
 */
import * as z from "zod";
import type { Offer } from "../../src/contract/provider.ts";
import { HardwareSchema } from "../../src/contract/provider.ts";
import { apiAt, brief, parsed } from "../http.ts";
import { nanoOf } from "../money.ts";
import { poolCommand, poolEnv } from "../pool-command.ts";
import { ProviderError } from "../provider.ts";
import type { Order, Provider, Seen } from "../provider.ts";

const CloudSchema = z.enum(["SECURE", "COMMUNITY"]);
type Cloud = z.infer<typeof CloudSchema>;

const HardwareChoiceSchema = z.strictObject({
  /** RunPod's GPU type, such as `NVIDIA GeForce RTX 4090`. */
  gpu: z.string().min(1),
  /** Cards of one machine. */
  count: z.int().min(1).max(64).default(1),
  clouds: z.array(CloudSchema).min(1).default(["SECURE"]),
  /** An image with curl, tar and Python 3.8 or newer. */
  image: z.string().min(1),
  diskGb: z.int().min(1).default(50),
  dataCenters: z.array(z.string()).default([]),
  /** The oldest CUDA version that a host may have, such as `12.4`. */
  minCuda: z
    .string()
    .regex(/^\d+\.\d+$/)
    .optional(),
  /** What the container runs; by default it installs the pool from the edge and stays. */
  args: z.string().optional(),
  env: z.record(z.string(), z.string()).default({}),
});

export const RunpodSchema = z.strictObject({
  baseUrl: z.url({ protocol: /^https?$/ }).default("https://api.runpod.io"),
  hardware: z.record(HardwareSchema, HardwareChoiceSchema),
});
export type RunpodOptions = z.infer<typeof RunpodSchema>;

const PodSchema = z.object({
  id: z.string(),
  name: z.string(),
  // One of a status that is new to us is there and may cost: it hides no other pod of the list.
  status: z.enum(["PROVISIONING", "STARTING", "RUNNING", "EXITED", "ERROR", "TERMINATED"]).catch("RUNNING"),
  createdAt: z.string(),
});
const PodsSchema = z.object({ pods: z.array(PodSchema) });
const GpusSchema = z.object({
  gpus: z.array(
    z.object({
      id: z.string(),
      secure: z.boolean(),
      community: z.boolean(),
      price: z.object({ secure: z.number(), community: z.number() }),
      maxCount: z.object({ secure: z.number(), community: z.number() }),
      availability: z.enum(["NONE", "LOW", "MEDIUM", "HIGH"]).optional(),
    }),
  ),
});
const BalanceSchema = z.object({ data: z.object({ myself: z.object({ clientBalance: z.number() }) }) });
const BALANCE_QUERY = "query { myself { clientBalance } }";
const ProblemSchema = z.object({ detail: z.string(), errors: z.array(z.string()).optional() });

const STATES: Record<z.infer<typeof PodSchema>["status"], Seen["state"]> = {
  PROVISIONING: "creating",
  STARTING: "booting",
  RUNNING: "running",
  EXITED: "ended",
  ERROR: "ended",
  TERMINATED: "stopping",
};

export function runpod({ baseUrl, hardware }: RunpodOptions, key: string): Provider {
  const api = apiAt(new URL(baseUrl), key, detailOf);

  /** The GPU types as they stand for pods of `count` cards in one of the clouds. */
  async function gpusFor(count: number, cloud: Cloud, signal: AbortSignal) {
    const query = new URLSearchParams({ include: "AVAILABILITY", product: "POD", count: String(count), cloud });
    const { gpus } = await api.read(`/v2/catalog/gpus?${query.toString()}`, GpusSchema, { signal });
    return new Map(gpus.map((gpu) => [gpu.id, gpu]));
  }

  return {
    kind: "runpod",
    async offers(signal) {
      const catalogs = new Map<string, Awaited<ReturnType<typeof gpusFor>>>();
      const offers: Offer[] = [];
      for (const [name, choice] of Object.entries(hardware)) {
        for (const cloud of choice.clouds) {
          const catalog = `${choice.count} ${cloud}`;
          const gpus = catalogs.get(catalog) ?? (await gpusFor(choice.count, cloud, signal));
          catalogs.set(catalog, gpus);
          const gpu = gpus.get(choice.gpu);
          const tier = cloud === "SECURE" ? "secure" : "community";
          if (gpu === undefined || !gpu[tier] || gpu.maxCount[tier] < choice.count) continue;
          offers.push({
            id: offerId(name, cloud),
            hardware: name,
            devices: choice.count,
            pricePerHourNano: nanoOf(gpu.price[tier] * choice.count),
            currency: "USD",
            billingIncrementS: 1,
            spot: false,
            zone: tier,
            available: gpu.availability === "NONE" ? 0 : null,
          });
        }
      }
      return offers;
    },
    async list(signal) {
      const { pods } = await api.read("/v2/pods", PodsSchema, { signal });
      return pods
        .filter(({ status }) => status !== "TERMINATED")
        .map(({ id, name, status, createdAt }): Seen => {
          const createdAtMs = Math.max(0, Date.parse(createdAt) || 0);
          return { providerId: id, name, offer: null, state: STATES[status], createdAtMs };
        });
    },
    async create(order, signal) {
      const { status, text } = await api.call("/v2/pods", { method: "POST", body: podOf(order), signal });
      if (status === 201) return parsed(text, PodSchema.pick({ id: true }), "the new pod").id;
      const why = `RunPod answered ${status}: ${brief(detailOf(text))}`;
      // 400 is also what a GPU that is sold out is answered with; nothing in it tells the two apart.
      if (status === 400) throw new ProviderError("sold_out", why);
      throw new ProviderError(status === 422 ? "invalid" : "refused", why);
    },
    async destroy(providerId, signal) {
      const path = `/v2/pods/${encodeURIComponent(providerId)}`;
      const { status, text } = await api.call(path, { method: "DELETE", signal });
      if (status >= 300 && status !== 404)
        throw new ProviderError("refused", `RunPod answered ${status}: ${brief(text)}`);
    },
    async balance(signal) {
      const { status, text } = await api.call("/graphql", { method: "POST", body: { query: BALANCE_QUERY }, signal });
      // A key that may rent needs no right to look at the account.
      if (status >= 300) return null;
      const { clientBalance } = parsed(text, BalanceSchema, "the balance").data.myself;
      return { nano: nanoOf(clientBalance), currency: "USD" };
    },
  };

  function podOf(order: Order): object {
    const [name = "", tier = ""] = order.offer.split("/");
    const choice = hardware[name];
    const cloud = CloudSchema.safeParse(tier).data;
    if (choice === undefined || cloud === undefined)
      throw new ProviderError("invalid", `there is no offer ${JSON.stringify(order.offer)} any more`);
    return {
      name: order.name,
      image: choice.image,
      cloud,
      gpu: {
        id: choice.gpu,
        count: choice.count,
        ...(choice.minCuda === undefined ? {} : { minCudaVersion: choice.minCuda }),
      },
      disk: choice.diskGb,
      env: { ...choice.env, ...poolEnv(order) },
      args: choice.args ?? `bash -c '${poolCommand}'`,
      ...(choice.dataCenters.length === 0 ? {} : { dataCenterIds: choice.dataCenters }),
    };
  }
}

function offerId(hardware: string, cloud: Cloud): string {
  return `${hardware}/${cloud}`;
}

function detailOf(text: string): string {
  try {
    const { detail, errors = [] } = ProblemSchema.parse(JSON.parse(text));
    return [detail, ...errors].join("; ");
  } catch {
    return text;
  }
}
