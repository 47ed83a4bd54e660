/**
 * RunPod's REST API v2, as far as pods go, from its public OpenAPI document (https://docs.runpod.io/api-reference-v2,
 * August 2026): paths, bodies, problem details, and what each status means. Whatever a body has beyond it is refused.
 */
import * as z from "zod";
import type { FakeApi, FakeCloud, FakeMachine, FakeRequest, Operation, Reply } from "./cloud.ts";

export const RUNPOD_KEY = "rpa_test";

const CreateSchema = z.strictObject({
  name: z.string().min(1),
  image: z.string(),
  args: z.string().optional(),
  disk: z.int().min(1).optional(),
  ports: z.array(z.string()).optional(),
  env: z.record(z.string(), z.string()).optional(),
  registry: z.string().nullable().optional(),
  cloud: z.enum(["SECURE", "COMMUNITY"]).default("SECURE"),
  gpu: z.strictObject({
    id: z.string(),
    count: z.int().min(1).default(1),
    allowedCudaVersions: z.array(z.string().regex(/^\d+\.\d+$/)).optional(),
    minCudaVersion: z
      .string()
      .regex(/^\d+\.\d+$/)
      .optional(),
  }),
  dataCenterIds: z.array(z.string()).optional(),
  globalNetworking: z.boolean().optional(),
  startJupyter: z.boolean().optional(),
  startSsh: z.boolean().optional(),
  templateId: z.string().optional(),
});

const GPU = {
  id: "NVIDIA GeForce RTX 4090",
  name: "RTX 4090",
  pool: "ADA_24",
  manufacturer: "NVIDIA",
  memory: 24,
  secure: true,
  community: true,
  price: { secure: 0.44, community: 0.31, serverless: 1.1 },
  maxCount: { secure: 8, community: 4 },
};

const titles: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  404: "Not Found",
  422: "Unprocessable Entity",
  429: "Too Many Requests",
  500: "Internal Server Error",
};

function problem(status: number, detail: string, headers: Record<string, string> = {}): Reply {
  return { status, type: "application/problem+json", body: { title: titles[status], status, detail }, headers };
}

export const runpodApi: FakeApi = {
  key: RUNPOD_KEY,
  operationOf({ method, path }): Operation | null {
    if (method === "GET" && path === "/v2/catalog/gpus") return "offers";
    if (path === "/v2/pods") return method === "POST" ? "create" : method === "GET" ? "list" : null;
    if (method === "DELETE" && path.startsWith("/v2/pods/")) return "destroy";
    return method === "POST" && path === "/graphql" ? "balance" : null;
  },
  answer(operation, request, cloud) {
    switch (operation) {
      case "offers":
        return catalog(request, cloud);
      case "list":
        return { status: 200, body: { pods: [...cloud.machines.values()].map(podOf) } };
      case "create":
        return create(request, cloud);
      case "destroy":
        return cloud.machines.delete(idOf(request.path)) ? { status: 204 } : problem(404, "pod not found");
      case "balance":
        return { status: 200, body: { data: { myself: { clientBalance: cloud.balance } } } };
      default:
        return operation satisfies never;
    }
  },
  tooMany: problem(429, "rate limit exceeded", { "Retry-After": "0", RateLimit: '"minute";r=0;t=12' }),
  failed: problem(500, "internal error"),
  soldOut: problem(400, "There are no longer any instances available with the requested specifications."),
  unauthorized: problem(401, "missing bearer token"),
};

function catalog({ query }: FakeRequest, cloud: FakeCloud): Reply {
  const wantsStock = query.get("include") === "AVAILABILITY";
  if (wantsStock !== query.has("product")) return problem(400, "include=AVAILABILITY and product go together");
  const stock = cloud.faults.create.includes("sold out") ? "NONE" : "HIGH";
  return { status: 200, body: { gpus: [{ ...GPU, ...(wantsStock ? { availability: stock } : {}) }] } };
}

function create({ body }: FakeRequest, cloud: FakeCloud): Reply {
  const parsed = CreateSchema.safeParse(body);
  if (!parsed.success)
    return problem(422, parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "));
  if (cloud.balance <= 0) return problem(402, "insufficient balance");
  if (parsed.data.gpu.id !== GPU.id) return problem(400, `no GPU type ${parsed.data.gpu.id}`);
  return { status: 201, body: podOf(cloud.make(parsed.data.name, parsed.data)) };
}

const STATUSES: Record<string, string> = { new: "PROVISIONING", booting: "STARTING", up: "RUNNING", exited: "EXITED" };

function podOf({ id, name, status, createdAtMs }: FakeMachine): object {
  return {
    id: `pod${id}`,
    name,
    image: "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
    status: STATUSES[status] ?? status,
    gpu: { id: GPU.id, count: 1 },
    cloud: "SECURE",
    dataCenterId: "US-KS-2",
    cost: 0.44,
    runtime: null,
    createdAt: new Date(createdAtMs).toISOString(),
    startedAt: null,
  };
}

function idOf(path: string): number {
  return Number(path.split("/pod").at(-1));
}
