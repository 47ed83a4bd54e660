/** Runs in workerd what the fake Cloudflare was given: the Worker's very modules, its bindings, secrets and files. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import type { FakeCloudflare, Script } from "./cloudflare.ts";

export type Deployed = { miniflare: Miniflare; stop(): Promise<void> };

/** Starts it on `port` of loopback, with the rows of its D1 database; state lies in `folder`. */
export async function startDeployed(
  fake: FakeCloudflare,
  name: string,
  script: Script,
  port: number,
  folder: string,
): Promise<Deployed> {
  const { metadata, modules, secrets, sqliteClasses, assets } = script;
  const of = (type: string) => metadata.bindings.filter((binding) => binding.type === type);
  const entries = (type: string, field: string): [string, string][] =>
    of(type).map((binding) => [binding.name, String(binding[field])]);
  const objects = entries("durable_object_namespace", "class_name");
  const files = join(folder, "assets");
  for (const [path, content] of assets) {
    mkdirSync(dirname(join(files, path)), { recursive: true });
    writeFileSync(join(files, path), content);
  }
  const main = metadata.main_module;
  const code = [main, ...[...modules.keys()].filter((module) => module !== main && !module.endsWith(".map"))];
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.ERROR),
      resourcePersistencePath: join(folder, "state"),
      workers: [
        {
          name,
          compatibilityDate: metadata.compatibility_date,
          compatibilityFlags: [...metadata.compatibility_flags],
          modulesRoot: "/",
          modules: code.map((path) => ({
            type: typeOf(path),
            path: `/${path}`,
            contents: modules.get(path) ?? new Uint8Array(),
          })),
          bindings: Object.fromEntries([...entries("plain_text", "text"), ...secrets]),
          d1Databases: Object.fromEntries(entries("d1", "id")),
          r2Buckets: Object.fromEntries(entries("r2_bucket", "bucket_name")),
          durableObjects: Object.fromEntries(
            objects.map(([binding, className]) => [binding, { className, useSQLite: sqliteClasses.has(className) }]),
          ),
          assets: { directory: files, routerConfig: { has_user_worker: true } },
          unsafeDirectSockets: [{ host: "127.0.0.1", port }],
        },
      ],
    }),
  );
  await miniflare.ready;
  const [binding, id] = entries("d1", "id")[0] ?? ["", ""];
  const [, { db } = { db: null }] = [...fake.stores.databases].find(([, { uuid }]) => uuid === id) ?? [];
  const database = await miniflare.getD1Database(binding, name);
  const schema = db?.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'").all();
  const { results } = await database.prepare("SELECT name FROM sqlite_master WHERE name = 'd1_migrations'").all();
  if (results.length === 0) await database.batch((schema ?? []).map(({ sql }) => database.prepare(String(sql))));
  return { miniflare, stop: async () => miniflare.dispose() };
}

function typeOf(path: string): "ESModule" | "Text" | "Data" {
  if (/\.m?js$/.test(path)) return "ESModule";
  return /\.(?:sql|html|txt)$/.test(path) ? "Text" : "Data";
}
