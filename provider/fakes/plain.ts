/** The small REST API that deploy/provider/my-cloud.py is written for. */
import * as z from "zod";
import type { FakeApi, Operation } from "./cloud.ts";

export const PLAIN_KEY = "plain_test";

const CreateSchema = z.strictObject({
  name: z.string(),
  plan: z.string(),
  environment: z.record(z.string(), z.string()),
  start: z.string(),
});
const STATUSES: Record<string, string> = { new: "pending", booting: "starting", up: "active", exited: "failed" };

export const plainApi: FakeApi = {
  key: PLAIN_KEY,
  operationOf({ method, path }): Operation | null {
    if (method === "GET" && path === "/plans") return "offers";
    if (path === "/servers") return method === "POST" ? "create" : "list";
    return method === "DELETE" && path.startsWith("/servers/") ? "destroy" : null;
  },
  answer(operation, { path, body }, cloud) {
    switch (operation) {
      case "offers": {
        const plan = { id: "gpu-1", gpu: "nvidia-l4", gpus: 1, usd_per_hour: 0.8, region: "eu", free: 3 };
        return { status: 200, body: { plans: [plan] } };
      }
      case "list": {
        const servers = [...cloud.machines.values()].map(({ id, name, status, createdAtMs }) => ({
          id: `s-${id}`,
          name,
          plan: "gpu-1",
          status: STATUSES[status] ?? status,
          created_at: Math.floor(createdAtMs / 1000),
        }));
        return { status: 200, body: { servers } };
      }
      case "create": {
        const parsed = CreateSchema.safeParse(body);
        if (!parsed.success) return { status: 422, body: parsed.error.message };
        return { status: 201, body: { id: `s-${cloud.make(parsed.data.name, parsed.data).id}` } };
      }
      case "destroy":
        return { status: cloud.machines.delete(Number(path.split("/s-").at(-1))) ? 204 : 404 };
      case "balance":
        return { status: 404 };
      default:
        return operation satisfies never;
    }
  },
  tooMany: { status: 429, body: "slow down", headers: { "Retry-After": "0" } },
  failed: { status: 500, body: "oops" },
  soldOut: { status: 409, body: "no capacity" },
  unauthorized: { status: 401, body: "who are you?" },
};
