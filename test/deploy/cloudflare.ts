/**
 * Cloudflare's API, as far as the pinned wrangler calls it for a deployment: accounts, D1, R2, scripts and versions,
 * secrets, assets, subdomain and schedule. Answers have the API's envelope, and refusals its codes. What it is given it
 * keeps, so that a test can run the Worker that was deployed.
 */
import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import * as z from "zod";
import { partsOf } from "./multipart.ts";
import { FakeStores, Refused } from "./stores.ts";

export const ACCOUNT_ID = "0123456789abcdef0123456789abcdef";
export const TOKEN = "a-token-of-a-test";
const SUBDOMAIN = "somebody";

const BindingSchema = z.looseObject({ type: z.string(), name: z.string() });
const MetadataSchema = z.looseObject({
  main_module: z.string(),
  compatibility_date: z.string(),
  compatibility_flags: z.array(z.string()).default([]),
  bindings: z.array(BindingSchema),
  keep_bindings: z.array(z.string()).default([]),
  migrations: z
    .looseObject({
      old_tag: z.string().optional(),
      new_tag: z.string(),
      steps: z.array(z.looseObject({ new_sqlite_classes: z.array(z.string()).optional() })),
    })
    .optional(),
  assets: z.looseObject({ jwt: z.string() }).optional(),
});
export type Binding = z.output<typeof BindingSchema>;
export type Metadata = z.output<typeof MetadataSchema>;

export type Script = {
  metadata: Metadata;
  modules: Map<string, Uint8Array>;
  secrets: Map<string, string>;
  migrationTag: string | null;
  sqliteClasses: Set<string>;
  /** By path. */
  assets: Map<string, Uint8Array>;
  onWorkersDev: boolean;
  crons: readonly string[];
  /** Versions that were uploaded, the newest last. */
  versions: string[];
};

/** `path` without the account's part, such as `/d1/database`. */
export type Call = { method: string; path: string };
type Refusal = { status: number; code: number; message: string; times: number };
type Request = Call & { query: URLSearchParams; body: Buffer; type: string; authorization: string };

export class FakeCloudflare {
  readonly calls: Call[] = [];
  readonly scripts = new Map<string, Script>();
  readonly stores = new FakeStores();
  /** What nobody answered: a call of wrangler's that this server doesn't know. */
  readonly unknown: string[] = [];
  subdomain: string | null = SUBDOMAIN;
  accounts = [{ id: ACCOUNT_ID, name: "An account" }];
  /** Called once a deployment is live. */
  onDeployed: (name: string, script: Script) => Promise<void> = async () => {};
  readonly #refusals = new Map<string, Refusal>();
  #watched: { method: string; path: RegExp; act: () => void } | null = null;
  readonly #assets = new Map<string, Uint8Array>();
  readonly #sessions = new Map<string, Record<string, { hash: string }>>();
  readonly #uploads = new Map<string, Pick<Script, "metadata" | "modules">>();
  readonly #server: Server = createServer((request, response) => void this.#serve(request, response));

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get url(): string {
    const address: AddressInfo | string | null = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? (address?.port ?? 0) : 0}/client/v4`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.stores.close();
  }

  /** Calls like `"POST /r2/buckets"` are refused, `times` times. */
  refuse(call: string, status: number, code: number, message: string, times = Number.POSITIVE_INFINITY): void {
    this.#refusals.set(call, { status, code, message, times });
  }

  /** Calls `act` once, at the next call like this, which is left without an answer. */
  onCall(method: string, path: RegExp, act: () => void): void {
    this.#watched = { method, path, act };
  }

  heal(): void {
    this.#refusals.clear();
    this.#watched = null;
  }

  /** What changed something, in order, without what only looks. */
  writes(from = 0): string[] {
    return this.calls
      .slice(from)
      .filter(({ method }) => method !== "GET")
      .map(({ method, path }) => `${method} ${path.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "ID")}`);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://api");
    const path = pathname.replace("/client/v4", "").replace(`/accounts/${ACCOUNT_ID}`, "") || "/";
    const method = request.method ?? "GET";
    const body = await buffer(request).catch(() => null);
    if (body === null) return;
    this.calls.push({ method, path });
    const watched = this.#watched;
    if (watched?.method === method && watched.path.test(path)) {
      this.#watched = null;
      watched.act();
      return;
    }
    const reply = (status: number, value: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    try {
      this.#fail(method, path);
      const authorization = request.headers.authorization ?? "";
      const type = request.headers["content-type"] ?? "";
      const answer = await this.#answer({ method, path, query: searchParams, body, type, authorization });
      const info = Array.isArray(answer)
        ? { page: 1, per_page: 100, count: answer.length, total_count: answer.length, total_pages: 1 }
        : undefined;
      reply(200, { success: true, errors: [], messages: [], result: answer, result_info: info });
    } catch (error) {
      const { status, code, message } = error instanceof Refused ? error : new Refused(500, 10_013, String(error));
      reply(status, { success: false, errors: [{ code, message }], messages: [], result: null });
    }
  }

  #fail(method: string, path: string): void {
    for (const [call, refusal] of this.#refusals) {
      if (!isLike(call, method, path) || refusal.times <= 0) continue;
      refusal.times -= 1;
      throw new Refused(refusal.status, refusal.code, refusal.message);
    }
  }

  async #answer(request: Request): Promise<unknown> {
    const { method, path, authorization } = request;
    const isUpload = path.startsWith("/workers/assets/upload");
    if (!isUpload && authorization !== `Bearer ${TOKEN}`) throw new Refused(403, 9109, "Invalid access token");
    const routes: readonly [string, RegExp, (matched: string[]) => unknown][] = [
      ["GET", /^\/user$/, () => ({ id: "u", email: "somebody@example.com" })],
      ["GET", /^\/user\/tokens\/verify$/, () => ({ id: "t", status: "active" })],
      ["GET", /^\/accounts$/, () => this.accounts],
      ["GET", /^\/memberships$/, () => this.accounts.map((account) => ({ account, roles: [], permissions: {} }))],
      ["GET", /^\/d1\/database\/([^/]+)$/, ([name = ""]) => this.stores.database(decodeURIComponent(name))],
      ["POST", /^\/d1\/database$/, () => this.stores.createDatabase(request.body)],
      ["POST", /^\/d1\/database\/([^/]+)\/query$/, ([id = ""]) => this.stores.query(id, request.body)],
      ["GET", /^\/r2\/buckets\/([^/]+)$/, ([name = ""]) => this.stores.bucket(name)],
      ["GET", /^\/r2\/buckets$/, () => ({ buckets: [...this.stores.buckets].map((name) => ({ name })) })],
      ["POST", /^\/r2\/buckets$/, () => this.stores.createBucket(request.body)],
      ["GET", /^\/workers\/subdomain$/, () => this.#subdomain()],
      ["GET", /^\/workers\/services\/([^/]+)$/, ([name = ""]) => this.#service(name)],
      ["GET", /^\/workers\/workers\/([^/]+)$/, ([name = ""]) => this.#worker(name)],
      ["PUT", /^\/workers\/scripts\/([^/]+)$/, async ([name = ""]) => this.#put(name, request)],
      ["POST", /^\/workers\/scripts\/([^/]+)\/versions$/, ([name = ""]) => this.#version(name, request)],
      ["POST", /^\/workers\/scripts\/([^/]+)\/deployments$/, async ([name = ""]) => this.#deploy(name, request)],
      ["GET", /^\/workers\/scripts\/([^/]+)\/deployments$/, ([name = ""]) => this.#deployments(name)],
      ["GET", /^\/workers\/scripts$/, () => this.#list()],
      ["GET", /^\/workers\/scripts\/([^/]+)\/settings$/, ([name = ""]) => this.#settings(name)],
      ["GET", /^\/workers\/scripts\/([^/]+)\/script-settings$/, () => ({ tags: [] })],
      ["PATCH", /^\/workers\/scripts\/([^/]+)\/script-settings$/, () => ({})],
      ["GET", /^\/workers\/scripts\/([^/]+)\/secrets$/, ([name = ""]) => this.#secrets(name)],
      ["GET", /^\/workers\/scripts\/([^/]+)\/schedules$/, ([name = ""]) => this.#schedules(name)],
      ["PUT", /^\/workers\/scripts\/([^/]+)\/schedules$/, ([name = ""]) => this.#schedule(name, request)],
      ["POST", /^\/workers\/scripts\/([^/]+)\/subdomain$/, ([name = ""]) => this.#publish(name, request)],
      ["POST", /^\/workers\/scripts\/([^/]+)\/assets-upload-session$/, () => this.#session(request)],
      ["POST", /^\/workers\/assets\/upload$/, () => this.#upload(request)],
    ];
    for (const [verb, pattern, answer] of routes) {
      const matched = pattern.exec(path);
      if (verb === method && matched !== null) return answer(matched.slice(1));
    }
    this.unknown.push(`${method} ${path}`);
    throw new Refused(404, 7003, `no route for ${method} ${path}`);
  }

  #subdomain(): unknown {
    if (this.subdomain === null) throw new Refused(404, 10_007, "There is no workers.dev subdomain");
    return { subdomain: this.subdomain };
  }

  #script(name: string): Script {
    const script = this.scripts.get(name);
    if (script === undefined) throw new Refused(404, 10_007, "This Worker does not exist on your account.");
    return script;
  }

  #service(name: string): unknown {
    const { migrationTag } = this.#script(name);
    return {
      id: name,
      default_environment: {
        environment: "production",
        script: { tag: "a-tag", tags: [], last_deployed_from: "wrangler", migration_tag: migrationTag ?? undefined },
      },
    };
  }

  #worker(name: string): unknown {
    return { id: name, name, subdomain: { enabled: this.#script(name).onWorkersDev, previews_enabled: false } };
  }

  #list(): unknown {
    return [...this.scripts].map(([id, { migrationTag }]) => ({ id, migration_tag: migrationTag ?? undefined }));
  }

  #settings(name: string): unknown {
    const { metadata, secrets } = this.#script(name);
    const kept = [...secrets.keys()].map((secret) => ({ type: "secret_text", name: secret }));
    return { bindings: [...metadata.bindings.filter(({ type }) => type !== "secret_text"), ...kept] };
  }

  #secrets(name: string): unknown {
    return [...this.#script(name).secrets.keys()].map((secret) => ({ name: secret, type: "secret_text" }));
  }

  #schedules(name: string): unknown {
    return { schedules: this.#script(name).crons.map((cron) => ({ cron })) };
  }

  #schedule(name: string, { body }: Request): unknown {
    const crons = z.array(z.looseObject({ cron: z.string() })).parse(JSON.parse(body.toString()));
    this.#script(name).crons = crons.map(({ cron }) => cron);
    return { schedules: crons };
  }

  #publish(name: string, { body }: Request): unknown {
    const { enabled } = z.looseObject({ enabled: z.boolean() }).parse(JSON.parse(body.toString()));
    this.#script(name).onWorkersDev = enabled;
    return { enabled, previews_enabled: false };
  }

  #deployments(name: string): unknown {
    const { versions } = this.#script(name);
    const latest = versions.at(-1) ?? "";
    return {
      deployments: [
        {
          id: latest,
          source: "wrangler",
          strategy: "percentage",
          author_email: "somebody@example.com",
          created_on: "2026-11-29T00:00:00Z",
          annotations: {},
          versions: [{ version_id: latest, percentage: 100 }],
        },
      ],
    };
  }

  #session({ body }: Request): unknown {
    const ManifestSchema = z.record(z.string(), z.looseObject({ hash: z.string() }));
    const { manifest } = z.object({ manifest: ManifestSchema }).parse(JSON.parse(body.toString()));
    const jwt = jwtOf({ session: createHash("sha256").update(JSON.stringify(manifest)).digest("hex") });
    this.#sessions.set(jwt, manifest);
    const missing = [...new Set(Object.values(manifest).map(({ hash }) => hash))].filter(
      (hash) => !this.#assets.has(hash),
    );
    return { jwt, buckets: missing.length === 0 ? [] : [missing] };
  }

  #upload({ body, type, authorization }: Request): unknown {
    const jwt = authorization.replace("Bearer ", "");
    if (!this.#sessions.has(jwt)) throw new Refused(403, 10_000, "Authentication error");
    for (const { name, content } of partsOf(body, type)) {
      this.#assets.set(name, Buffer.from(content.toString(), "base64"));
    }
    return { jwt };
  }

  #take(name: string, { body, type }: Request): Pick<Script, "metadata" | "modules"> {
    const parts = partsOf(body, type);
    const described = parts.find((part) => part.name === "metadata")?.content.toString() ?? "{}";
    const metadata = MetadataSchema.parse(JSON.parse(described));
    const modules = new Map<string, Uint8Array>();
    for (const { filename, content } of parts) if (filename !== null) modules.set(filename, new Uint8Array(content));
    if (!modules.has(metadata.main_module)) throw new Refused(400, 10_021, "Uploaded script has no main module.");
    for (const binding of metadata.bindings) this.#check(binding, name, metadata);
    return { metadata, modules };
  }

  /** As Cloudflare does: what a binding names must be there. */
  #check(binding: Binding, name: string, metadata: Metadata): void {
    const isKnownId = [...this.stores.databases.values()].some(({ uuid }) => uuid === binding["id"]);
    if (binding.type === "d1" && !isKnownId)
      throw new Refused(400, 10_021, `binding ${binding.name} of type d1 must have a valid \`id\` specified`);
    if (binding.type === "r2_bucket" && !this.stores.buckets.has(String(binding["bucket_name"])))
      throw new Refused(400, 10_085, `R2 bucket '${String(binding["bucket_name"])}' not found.`);
    if (binding.type !== "durable_object_namespace") return;
    const made = metadata.migrations?.steps.flatMap((step) => step.new_sqlite_classes ?? []) ?? [];
    const has = this.scripts.get(name)?.sqliteClasses ?? new Set<string>();
    if (!has.has(String(binding["class_name"])) && !made.includes(String(binding["class_name"])))
      throw new Refused(400, 10_061, `Cannot create binding for class '${String(binding["class_name"])}'.`);
  }

  async #put(name: string, request: Request): Promise<unknown> {
    const id = await this.#live(name, this.#take(name, request));
    return { id: name, etag: id, deployment_id: id.replaceAll("-", ""), startup_time_ms: 20 };
  }

  #version(name: string, request: Request): unknown {
    this.#script(name);
    const id = randomUUID();
    this.#uploads.set(id, this.#take(name, request));
    return { id, startup_time_ms: 20, resources: { script: { etag: id } } };
  }

  async #deploy(name: string, { body }: Request): Promise<unknown> {
    const VersionsSchema = z.looseObject({ versions: z.array(z.looseObject({ version_id: z.string() })) });
    const { versions } = VersionsSchema.parse(JSON.parse(body.toString()));
    const upload = this.#uploads.get(versions[0]?.version_id ?? "");
    if (upload === undefined) throw new Refused(404, 10_092, "no such version");
    return { id: await this.#live(name, upload) };
  }

  async #live(name: string, { metadata, modules }: Pick<Script, "metadata" | "modules">): Promise<string> {
    const before = this.scripts.get(name);
    const tag = metadata.migrations?.old_tag ?? null;
    if (metadata.migrations !== undefined && tag !== (before?.migrationTag ?? null))
      throw new Refused(
        412,
        10_079,
        `migration tag precondition failed; current tag is ${String(before?.migrationTag)}`,
      );
    const secrets = new Map(metadata.keep_bindings.includes("secret_text") ? before?.secrets : []);
    for (const { type, name: secret, text } of metadata.bindings) {
      if (type === "secret_text") secrets.set(secret, String(text));
    }
    const manifest = this.#sessions.get(metadata.assets?.jwt ?? "") ?? {};
    const id = randomUUID();
    const bindings = metadata.bindings.map((binding) =>
      binding.type === "inherit"
        ? (before?.metadata.bindings.find(({ name: other }) => other === binding.name) ?? binding)
        : binding,
    );
    const script: Script = {
      metadata: { ...metadata, bindings },
      modules,
      secrets,
      migrationTag: metadata.migrations?.new_tag ?? before?.migrationTag ?? null,
      sqliteClasses: new Set([
        ...(before?.sqliteClasses ?? []),
        ...(metadata.migrations?.steps.flatMap((step) => step.new_sqlite_classes ?? []) ?? []),
      ]),
      assets: new Map(
        Object.entries(manifest).map(([path, { hash }]) => [path, this.#assets.get(hash) ?? new Uint8Array()]),
      ),
      onWorkersDev: before?.onWorkersDev ?? false,
      crons: before?.crons ?? [],
      versions: [...(before?.versions ?? []), id],
    };
    this.scripts.set(name, script);
    await this.onDeployed(name, script);
    return id;
  }
}

function isLike(call: string, method: string, path: string): boolean {
  return new RegExp(`^${call}$`).test(`${method} ${path}`);
}

/** wrangler reads the middle part. */
function jwtOf(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part(claims)}.signature`;
}
