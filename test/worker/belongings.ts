/** What an account may have, made through the API: what others must not be able to tell from nothing. */
import { expect, vi } from "vitest";
import { sha256Hex } from "../../plugins/kernel/secret.ts";
import { encodeCursor } from "../../src/routes/replicate/cursor.ts";
import { call, callJson, FakePool, newKey, offer } from "./edge-harness.ts";

const FIRST_PAGE = 1;
const WAIT = { timeout: 15_000 };
/** The name of each account's private model and of its deployment. */
export const PRIVATE = "private-model";

export const input = { text: "one tenant's prompt" };

/** What one account has: everything that another might name. */
export type Belongings = {
  key: string;
  predictions: string[];
  account: string;
  /** Named by others for reading, and for making their own. */
  ownId: string;
  takenId: string;
  takenPrediction: string;
  idempotencyKey: string;
  /** A private model, its version and its deployment. */
  version: string;
  upload: string;
  files: string[];
  webhookId: string;
  token: string;
  cursors: string[];
  fileCursors: string[];
  /** Paths with a signature, which open for whoever holds them. */
  links: string[];
};

/** Makes an account with one of everything. */
export async function settle(account: string): Promise<Belongings> {
  const key = await newKey(account);
  const pool = await FakePool.open();
  const [ownId, takenId, idempotencyKey] = [`own-id-of-${account}`, `taken-id-of-${account}`, `key-of-${account}`];
  const model = "acme/isolated";
  const created = async (init: {
    method?: string;
    path?: string;
    headers?: Record<string, string>;
    webhook?: string;
  }) => {
    const { path = "/v1/predictions", webhook, ...rest } = init;
    const { body } = await callJson(path, {
      key,
      ...rest,
      body: { version: model, input, stream: true, ...(webhook === undefined ? {} : { webhook }) },
    });
    return { id: String(body["id"]), stream: (body["urls"] as { stream: string }).stream };
  };
  const finished = await created({ webhook: "https://receiver.example.com/hook" });
  const grant = await pool.claim(finished.id);
  const blob = await callJson(`/pool/v1/blobs/${finished.id}/${grant.token}/out.txt`, {
    method: "PUT",
    key: pool.key,
    body: "secret file",
    headers: { "content-length": "11" },
  });
  await pool.send(grant, { type: "succeeded", output: [String(blob.body["url"])] } as never);
  const put = await created({ method: "PUT", path: `/v1/predictions/${ownId}` });
  const taken = await created({ method: "PUT", path: `/v1/predictions/${takenId}` });
  const keyed = await created({ headers: { "idempotency-key": idempotencyKey } });
  const waiting = await created({});
  const form = new FormData();
  form.set("content", new File(["secret upload"], `${account}.txt`));
  const encoded = new Response(form);
  const bytes = new Uint8Array(await encoded.clone().arrayBuffer());
  const files = [];
  for (let count = 0; count < 2; count += 1) {
    const { body } = await callJson("/v1/files", {
      key,
      body: bytes,
      headers: {
        "content-type": encoded.headers.get("content-type") ?? "",
        "content-length": String(bytes.byteLength),
      },
    });
    files.push({
      id: String(body["id"]),
      link: (body["urls"] as { get: string }).get,
      createdAt: Date.parse(String(body["created_at"])),
    });
  }
  await callJson("/v1/models", {
    key,
    body: { owner: account, name: PRIVATE, visibility: "private", hardware: "cpu" },
  });
  const { version } = await offer({ owner: account, name: PRIVATE, version: (await sha256Hex(account)).slice(0, 64) });
  const deployed = {
    name: PRIVATE,
    model: `${account}/${PRIVATE}`,
    version,
    hardware: "cpu",
    min_instances: 0,
    max_instances: 1,
  };
  await callJson("/v1/deployments", { key, body: deployed });
  const upload = await callJson("/v1/uploads", { key, body: { name: "film.mp4", size: 1_000_000 } });
  const predictions = [finished.id, put.id, keyed.id, waiting.id];
  const results = async (path: string) => (await callJson(path, { key })).body["results"] as Record<string, unknown>[];
  await vi.waitFor(async () => expect(await results("/v1/predictions")).toHaveLength(predictions.length + 1), WAIT);
  await vi.waitFor(async () => expect(await results(`/v1/predictions/${finished.id}/webhooks`)).not.toEqual([]), WAIT);
  const [delivery] = await results(`/v1/predictions/${finished.id}/webhooks`);
  const page = await callJson(`/v1/predictions?limit=${FIRST_PAGE}`, { key });
  return {
    account,
    key,
    predictions,
    takenId,
    takenPrediction: taken.id,
    version,
    upload: String(upload.body["id"]),
    ownId,
    idempotencyKey,
    files: files.map(({ id }) => id),
    webhookId: String(delivery?.["webhook_id"]),
    token: grant.token,
    cursors: [new URL(String(page.body["next"])).searchParams.get("cursor") ?? ""],
    fileCursors: files.map(({ id, createdAt }) => encodeCursor({ direction: "next", createdAt, id })),
    links: [finished.stream, String(blob.body["url"]), ...files.map(({ link }) => link)].map(
      (link) => new URL(link).pathname + new URL(link).search,
    ),
  };
}

/** All that an account can read of its own. */
export async function views(owner: Belongings): Promise<string[]> {
  const { key, account, predictions, ownId, takenId, takenPrediction, upload, files, links } = owner;
  const paths = [
    ...predictions.flatMap((id) => [`/v1/predictions/${id}`, `/v1/predictions/${id}/webhooks`]),
    ...files.map((id) => `/v1/files/${id}`),
    ...[`/v1/models/${account}/${PRIVATE}`, `/v1/deployments/${account}/${PRIVATE}`, `/v1/uploads/${upload}`],
    ...[
      `/v1/predictions/${ownId}`,
      `/v1/predictions/${takenId}`,
      `/v1/predictions/${takenPrediction}`,
      "/v1/predictions",
      "/v1/files",
      "/v1/account",
      "/v1/webhooks/default/secret",
    ],
    ...links.filter((link) => !link.includes("/stream?")),
  ];
  return Promise.all(
    paths.map(async (path) => `${path}\n${settled(await (await call(path, { key, method: "GET" })).text())}`),
  );
}

/** Without what moves by itself: places in the queue, and tries of webhooks. */
export function settled(text: string): string {
  return text.replaceAll(
    /"(?:position|eta_ms|etaMs|next_try_at|try_count|tries|state|finished_at|response)":(?:\[[^\]]*\]|"[^"]*"|[^,}\]]*)/g,
    "",
  );
}
