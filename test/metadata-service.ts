/**
 * The metadata services of three clouds on loopback, as far as notices of preemption go. Each answers as its cloud
 * documents it.
 */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";

export type MetadataService = {
  url: string;
  /** What it was asked, as method and path without its query. */
  asked: string[];
  /** The cloud takes the host away so soon. */
  preempt(withinMs: number): void;
  /** Its clock, as its answers have it, runs ahead of the host's. */
  aheadMs: number;
  [Symbol.asyncDispose](): Promise<void>;
};

const TOKEN = "imds-token";
const VM = "vm_3";

type State = { endsAt: Date | null; waiting: Set<() => void> };
type Handler = (
  request: IncomingMessage,
  url: URL,
  state: State,
) => { status: number; body?: string; headers?: Record<string, string> } | null;

const aws: Handler = ({ method, headers }, { pathname }, { endsAt }) => {
  if (method === "PUT" && pathname === "/latest/api/token")
    return headers["x-aws-ec2-metadata-token-ttl-seconds"] === undefined
      ? { status: 400 }
      : { status: 200, body: TOKEN };
  if (headers["x-aws-ec2-metadata-token"] !== TOKEN) return { status: 401 };
  if (pathname !== "/latest/meta-data/spot/instance-action" || endsAt === null) return { status: 404 };
  return { status: 200, body: JSON.stringify({ action: "terminate", time: endsAt.toISOString() }) };
};

const gcp: Handler = ({ headers }, { pathname, searchParams }, { endsAt }) => {
  if (headers["metadata-flavor"] !== "Google") return { status: 403 };
  if (pathname !== "/computeMetadata/v1/instance/preempted") return { status: 404 };
  const flavor = { "metadata-flavor": "Google", etag: endsAt === null ? "before" : "after" };
  const isKnown = searchParams.get("last_etag") === flavor.etag;
  if (searchParams.get("wait_for_change") === "true" && isKnown) return null;
  return { status: 200, body: endsAt === null ? "FALSE" : "TRUE", headers: flavor };
};

const azure: Handler = ({ headers }, { pathname, searchParams }, { endsAt }) => {
  if (headers["metadata"] !== "true" || searchParams.get("api-version") === null) return { status: 400 };
  if (pathname === "/metadata/instance/compute/name") return { status: 200, body: VM };
  if (pathname !== "/metadata/scheduledevents") return { status: 404 };
  const common = { EventStatus: "Scheduled", ResourceType: "VirtualMachine" };
  const others = { ...common, EventType: "Preempt", Resources: ["vm_1"], NotBefore: new Date().toUTCString() };
  const own = { ...common, EventType: "Preempt", Resources: [VM], NotBefore: endsAt?.toUTCString() ?? "" };
  const reboot = { ...common, EventType: "Reboot", Resources: [VM], NotBefore: new Date().toUTCString() };
  const events = [others, reboot, ...(endsAt === null ? [] : [own])];
  return { status: 200, body: JSON.stringify({ DocumentIncarnation: 1, Events: events }) };
};

const handlers = { aws, gcp, azure };

export async function startMetadataService(cloud: keyof typeof handlers): Promise<MetadataService> {
  const state: State = { endsAt: null, waiting: new Set() };
  const asked: string[] = [];
  const service: MetadataService = {
    url: "",
    asked,
    aheadMs: 0,
    preempt(withinMs) {
      state.endsAt = new Date(Date.now() + service.aheadMs + withinMs);
      for (const answer of [...state.waiting]) answer();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const answer = (request: IncomingMessage, reply: ServerResponse): void => {
    const url = new URL(request.url ?? "/", "http://metadata");
    const made = handlers[cloud](request, url, state);
    const again = (): void => {
      state.waiting.delete(again);
      answer(request, reply);
    };
    if (made === null) state.waiting.add(again);
    else {
      const date = new Date(Date.now() + service.aheadMs).toUTCString();
      reply.writeHead(made.status, { date, ...made.headers }).end(made.body);
    }
  };
  const server = createServer((request, reply) => {
    asked.push(`${request.method} ${(request.url ?? "").split("?")[0]}`);
    answer(request, reply);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  service.url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  return service;
}
