/** The webhook sender in workerd, with a D1 of accounts beside it, and receivers in Node on loopback. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, RequestListener, Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { migrate } from "../../../scripts/lib/d1-migrate.ts";
import { readMigrations } from "../../../scripts/lib/migrations.ts";
import type { Delivery, WebhookMessage } from "../../../src/webhooks/types.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));

const entry = `
  import { enqueueWebhooks, redeliverWebhook, webhookDeliveries } from "./src/webhooks/client.ts";
  import { currentWebhookSecret, rotateWebhookSecret } from "./src/webhooks/secrets.ts";
  export { WebhookSender } from "./src/webhooks/sender.ts";
  const enqueue = async (...args) => [...(await enqueueWebhooks(...args)).keys()];
  const calls = { enqueueWebhooks: enqueue, redeliverWebhook, webhookDeliveries, currentWebhookSecret, rotateWebhookSecret };
  export default {
    async fetch(request, env) {
      const { call, args } = await request.json();
      return Response.json({ value: (await calls[call](env, ...args)) ?? null });
    },
  };`;

let script: Promise<string> | null = null;

async function bundle(): Promise<string> {
  const built = await build({
    stdin: { contents: entry, resolveDir: root, loader: "ts" },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
    external: ["cloudflare:*"],
  });
  return built.outputFiles[0]?.text ?? "";
}

export type SenderStack = {
  enqueue(messages: WebhookMessage[]): Promise<void>;
  deliveries(url: string, predictionId: string): Promise<Delivery[]>;
  redeliver(url: string, predictionId: string, webhookId: string): Promise<unknown>;
  secret(accountId: string): Promise<string>;
  rotate(accountId: string): Promise<string>;
  stop(): Promise<void>;
};

/** Starts workerd with the accounts named; with `statePath`, on what an earlier one left there. */
export async function startSenders(options: {
  allowLoopback: boolean;
  accounts: string[];
  statePath?: string;
}): Promise<SenderStack> {
  script ??= bundle();
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      telemetry: { enabled: false },
      ...(options.statePath === undefined ? {} : { resourcePersistencePath: options.statePath }),
      workers: [
        {
          name: "senders",
          modules: true,
          script: await script,
          compatibilityDate: "2026-11-02",
          compatibilityFlags: ["global_fetch_strictly_public"],
          bindings: options.allowLoopback ? { ALLOW_LOOPBACK_TARGETS: "1" } : {},
          d1Databases: { DB: "senders" },
          durableObjects: { WEBHOOKS: { className: "WebhookSender", useSQLite: true } },
          outboundService: "outbound",
        },
        {
          name: "outbound",
          compatibilityDate: "2026-11-02",
          modules: true,
          script: "export default { fetch: (request, env) => env.NETWORK.fetch(request) }",
          serviceBindings: {
            NETWORK: {
              network: { allow: ["public", "127.0.0.0/8", "::1/128"], tlsOptions: { trustBrowserCas: true } },
            },
          },
        },
      ],
    }),
  );
  const address = await miniflare.ready;
  const database = await miniflare.getD1Database("DB", "senders");
  await migrate(database, readMigrations(join(root, "src/registry/migrations")));
  for (const account of options.accounts) {
    await database
      .prepare("INSERT OR IGNORE INTO accounts (id, name, webhook_secret, created_at) VALUES (?1, ?1, ?2, 0)")
      .bind(account, `whsec_${Buffer.from(`secret of the account ${account}`.padEnd(32)).toString("base64")}`)
      .run();
  }

  async function call(name: string, ...args: unknown[]): Promise<unknown> {
    const response = await fetch(address, { method: "POST", body: JSON.stringify({ call: name, args }) });
    if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`);
    const { value } = (await response.json()) as { value: unknown };
    return value;
  }

  return {
    async enqueue(messages) {
      const away = await call("enqueueWebhooks", messages);
      if (JSON.stringify(away) !== "[]") throw new Error(`not taken: ${JSON.stringify(away)}`);
    },
    deliveries: async (url, predictionId) => (await call("webhookDeliveries", url, predictionId)) as Delivery[],
    redeliver: (url, predictionId, webhookId) => call("redeliverWebhook", url, predictionId, webhookId),
    secret: async (accountId) => String(await call("currentWebhookSecret", accountId)),
    rotate: async (accountId) => String(await call("rotateWebhookSecret", accountId)),
    stop: () => miniflare.dispose(),
  };
}

export type Received = { path: string; headers: IncomingHttpHeaders; body: string; at: number };

export type Receiver = {
  url: string;
  port: number;
  received: Received[];
  /** The most requests that were open at once. */
  mostOpen(): number;
  stop(): Promise<void>;
};

/** A receiver on a free port of 127.0.0.1 that notes what arrives and then lets `answer` answer. */
export async function startReceiver(
  answer: (received: Received, response: Parameters<RequestListener>[1], index: number) => void,
  tls = false,
): Promise<Receiver> {
  const received: Received[] = [];
  let open = 0;
  let mostOpen = 0;
  const listener: RequestListener = (request, response) => {
    open += 1;
    mostOpen = Math.max(mostOpen, open);
    response.once("close", () => {
      open -= 1;
    });
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const one = {
        path: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
        at: Date.now(),
      };
      received.push(one);
      answer(one, response, received.length - 1);
    });
  };
  const server: Server = tls ? createTlsServer(selfSigned(), listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}/hook`,
    port,
    received,
    mostOpen: () => mostOpen,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A certificate that nobody vouches for. */
function selfSigned(): { key: string; cert: string } {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const options = [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-keyout",
    key,
    "-out",
    cert,
    ...subject,
  ];
  execFileSync("openssl", options, { stdio: "ignore" });
  const pair = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  rmSync(folder, { recursive: true });
  return pair;
}

/** What must come is waited for, however busy the machine is. */
const GIVE_UP_MS = 60_000;

/** Waits until `check` answers true. Throws after a minute. */
export async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + GIVE_UP_MS;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`not within ${GIVE_UP_MS} ms: ${check.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
