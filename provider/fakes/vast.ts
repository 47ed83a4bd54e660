/**
 * Vast.ai's REST API, as far as offers and instances go, from its public OpenAPI documents
 * (https://docs.vast.ai/api-reference, August 2026): paths, bodies, errors, pages of 25. Whatever a body has beyond
 * them is refused.
 */
import * as z from "zod";
import type { FakeApi, FakeCloud, FakeMachine, FakeRequest, Operation, Reply } from "./cloud.ts";

export const VAST_KEY = "vast_test";

const OperatorSchema = z.partialRecord(z.enum(["eq", "neq", "gt", "lt", "gte", "lte", "in", "notin"]), z.unknown());
const SearchSchema = z
  .object({
    limit: z.int().optional(),
    type: z.enum(["ondemand", "bid", "reserved"]).default("ondemand"),
    order: z.array(z.tuple([z.string(), z.enum(["asc", "desc"])])).optional(),
    allocated_storage: z.number().optional(),
  })
  .catchall(OperatorSchema);
const CreateSchema = z.strictObject({
  image: z.string().max(1024),
  label: z.string().max(256).optional(),
  disk: z.number().min(8).optional(),
  runtype: z.enum(["ssh", "jupyter", "args", "ssh_proxy", "ssh_direct", "jupyter_proxy", "jupyter_direct"]).optional(),
  target_state: z.enum(["running", "stopped"]).optional(),
  price: z.number().min(0.001).max(128).optional(),
  env: z.record(z.string(), z.string().max(256)).optional(),
  cancel_unavail: z.boolean().optional(),
  onstart: z.string().optional(),
  args: z.array(z.string()).optional(),
  args_str: z.string().optional(),
});

const PAGE = 25;
const OFFERS = [
  { id: 501, machine_id: 88, dph_total: 0.4, min_bid: 0.2, geolocation: "Sweden, SE" },
  { id: 502, machine_id: 89, dph_total: 0.5, min_bid: 0.25, geolocation: "Ohio, US" },
].map((offer) => ({
  ...offer,
  ask_contract_id: offer.id,
  num_gpus: 1,
  gpu_name: "RTX 4090",
  reliability: 0.995,
  driver_version: "550.54.15",
  inet_down: 900.5,
  rentable: true,
  rented: false,
}));

function failure(status: number, error: string, msg: string): Reply {
  return { status, body: { success: false, error, msg } };
}

export const vastApi: FakeApi = {
  key: VAST_KEY,
  operationOf({ method, path }): Operation | null {
    if (method === "POST" && path === "/api/v0/bundles/") return "offers";
    if (method === "GET" && path === "/api/v1/instances/") return "list";
    if (method === "PUT" && /^\/api\/v0\/asks\/\d+\/$/.test(path)) return "create";
    if (method === "DELETE" && /^\/api\/v0\/instances\/\d+\/$/.test(path)) return "destroy";
    return method === "GET" && path === "/api/v0/users/current/" ? "balance" : null;
  },
  answer(operation, request, cloud) {
    switch (operation) {
      case "offers":
        return search(request);
      case "list":
        return page(request, cloud);
      case "create":
        return create(request, cloud);
      case "destroy":
        return cloud.machines.delete(idOf(request.path))
          ? { status: 200, body: { success: true } }
          : failure(404, "not_found", "Instance not found");
      case "balance":
        return { status: 200, body: { id: 1, email: "a@example.com", balance: 0, credit: cloud.balance } };
      default:
        return operation satisfies never;
    }
  },
  tooMany: { status: 429, type: "text/plain", body: "API requests too frequent: endpoint threshold=4.5" },
  failed: { status: 500, type: "text/plain", body: "Internal Server Error" },
  soldOut: failure(410, "no_such_ask", "error 410/3907: no_such_ask Instance type 501 is no longer available."),
  unauthorized: failure(401, "auth_error", "Invalid api key"),
};

function search({ body }: FakeRequest): Reply {
  const parsed = SearchSchema.safeParse(body);
  if (!parsed.success) return failure(400, "invalid_args", parsed.error.message);
  const { eq } = z.object({ eq: z.number().optional() }).parse(parsed.data["id"] ?? {});
  return { status: 200, body: { offers: OFFERS.filter(({ id }) => eq === undefined || id === eq) } };
}

function create({ path, body }: FakeRequest, cloud: FakeCloud): Reply {
  const ask = Number(path.split("/").at(-2));
  const parsed = CreateSchema.safeParse(body);
  if (!parsed.success) return failure(400, "invalid_args", parsed.error.message);
  if (!OFFERS.some(({ id }) => id === ask)) return failure(404, "invalid_args", `error 404/3603: no_such_ask ${ask}`);
  if (cloud.balance <= 0) return failure(402, "insufficient_credit", "Your account lacks credit");
  return { status: 200, body: { success: true, new_contract: cloud.make(parsed.data.label ?? "", parsed.data).id } };
}

function page({ query }: FakeRequest, cloud: FakeCloud): Reply {
  const from = Number(query.get("after_token") ?? "0");
  const all = [...cloud.machines.values()];
  const instances = all.slice(from, from + PAGE).map(instanceOf);
  const next = from + PAGE < all.length ? String(from + PAGE) : null;
  return {
    status: 200,
    body: {
      success: true,
      instances_found: instances.length,
      total_instances: all.length,
      instances,
      next_token: next,
    },
  };
}

const STATUSES: Record<string, string | null> = { new: null, booting: "loading", up: "running" };

function instanceOf({ id, name, status, createdAtMs }: FakeMachine): object {
  const actual = status in STATUSES ? STATUSES[status] : status;
  return {
    id,
    label: name,
    machine_id: 88,
    start_date: createdAtMs / 1000,
    actual_status: actual,
    gpu_name: "RTX 4090",
  };
}

function idOf(path: string): number {
  return Number(path.split("/").at(-2));
}
