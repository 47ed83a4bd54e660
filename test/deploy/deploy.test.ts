/**
 * `npm run deploy` from nothing to live, by the real wrangler, against a Cloudflare of ours; what it was given then
 * runs in workerd and answers a prediction.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { makeHome, startPool } from "../integration/pool/pool-process.ts";
import type { PoolHome, RunningPool } from "../integration/pool/pool-process.ts";
import { ACCOUNT_ID, FakeCloudflare, TOKEN } from "./cloudflare.ts";
import { startDeployed } from "./deployed.ts";
import type { Deployed } from "./deployed.ts";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-deploy-test-"));
const cloudflare = new FakeCloudflare();
const KeysSchema = z.object({
  edgeplaneSecret: z.string(),
  credentialSecret: z.string(),
  adminKey: z.string(),
  apiKey: z.string().nullable(),
  poolToken: z.string().nullable(),
});
const ConfigSchema = z.object({
  current: z.string(),
  profiles: z.record(z.string(), z.object({ url: z.string(), key: z.string(), adminKey: z.string() })),
});

let url: string;
let live: Deployed | null = null;
let home: PoolHome | null = null;
let pool: RunningPool | null = null;

type Ran = { code: number | null; output: string };
type RunOptions = { place?: string; env?: Record<string, string>; until?: (kill: () => void) => void };

/** `npm run deploy`, with settings of its own in `place`; `until` may end it. */
async function deploy(args: readonly string[], { place = "home", env = {}, until }: RunOptions = {}): Promise<Ran> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", join(root, "scripts/deploy.ts"), ...args],
    {
      cwd: dir,
      env: {
        PATH: process.env["PATH"],
        HOME: join(dir, place),
        XDG_CONFIG_HOME: join(dir, place, ".config"),
        NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
        CLOUDFLARE_API_BASE_URL: cloudflare.url,
        CLOUDFLARE_API_TOKEN: TOKEN,
        ...env,
      },
    },
  );
  until?.(() => child.kill("SIGTERM"));
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (part: string) => (output += part));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output };
}

const keysFile = (place = "home", worker = "edgeplane"): string =>
  join(dir, place, ".config/edgeplane/deployments", `${ACCOUNT_ID}-${worker}.json`);
const keysOf = (place?: string, worker?: string): z.output<typeof KeysSchema> =>
  KeysSchema.parse(JSON.parse(readFileSync(keysFile(place, worker), "utf8")));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}

beforeAll(async () => {
  await cloudflare.start();
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  cloudflare.onDeployed = async (name, script) => {
    await live?.stop();
    live = await startDeployed(cloudflare, name, script, port, join(dir, "edge"));
  };
});
afterAll(async () => {
  await pool?.kill("SIGTERM");
  await live?.stop();
  await cloudflare.stop();
  home?.remove();
  rmSync(dir, { recursive: true, force: true });
});

test("a dry run says what would be made, lets wrangler look at it, and needs no account", async () => {
  const toml = readFileSync(join(root, "wrangler.toml"), "utf8");
  const classes = [...new Set([...toml.matchAll(/class_name = "(\w+)"/g)].map(([, name]) => name))];
  const { code, output } = await deploy(["--dry-run"], { env: { CLOUDFLARE_API_TOKEN: "" } });
  expect(output.replace(/Total Upload: [\d.]+ KiB \/ gzip: [\d.]+ KiB/, "SIZE")).toBe(`\
deploy: Worker edgeplane (SIZE), with the files of /docs and /pool
deploy: D1 database edgeplane, R2 bucket edgeplane-blobs: made where they are not there
deploy: Durable Objects: ${classes.join(", ")}
deploy: secrets EDGEPLANE_SECRET, CREDENTIAL_SECRET, ADMIN_KEY: made where they are not there
deploy: account local with a key and a pool token: made the first time
deploy: this was a dry run: nothing was changed
`);
  expect(code).toBe(0);
  expect(cloudflare.calls).toEqual([]);
});

test("a run that is ended before the Worker is there leaves nothing half done", async () => {
  const { code, output } = await deploy(["--url", url], {
    until: (kill) => cloudflare.onCall("POST", /assets\/upload$/, kill),
  });
  expect(output).toContain("deploy: stopped; run it again, and it goes on where it stopped");
  expect(code).toBe(1);
  expect([...cloudflare.scripts]).toEqual([]);
  expect(statSync(keysFile()).mode & 0o777).toBe(0o600);
});

test("the next run makes the rest: it is live, with tables, objects, secrets, files, account and keys", async () => {
  const before = keysOf();
  const from = cloudflare.calls.length;
  cloudflare.refuse("GET /d1/database/edgeplane", 500, 10_013, "An unknown error has occurred", 1);
  const { code, output } = await deploy(["--url", url, "--wait", "30"]);
  expect(output).toContain(`deploy: edgeplane is up: ${url}`);
  expect(code).toBe(0);
  expect(output).toContain("Cloudflare's API failed");
  expect(cloudflare.writes(from).filter((call) => !call.endsWith("/query"))).toEqual([
    "POST /r2/buckets",
    "POST /workers/scripts/edgeplane/assets-upload-session",
    "POST /workers/assets/upload",
    "PUT /workers/scripts/edgeplane",
    "POST /workers/scripts/edgeplane/subdomain",
    "PUT /workers/scripts/edgeplane/schedules",
  ]);
  const script = cloudflare.scripts.get("edgeplane");
  expect(Object.fromEntries(script?.secrets ?? [])).toEqual({
    EDGEPLANE_SECRET: before.edgeplaneSecret,
    CREDENTIAL_SECRET: before.credentialSecret,
    ADMIN_KEY: before.adminKey,
  });
  expect([...(script?.assets.keys() ?? [])]).toEqual(
    expect.arrayContaining(["/docs/scalar.js", "/pool/install.sh", "/pool/edgeplane-pool.tar.gz"]),
  );
  expect(script?.crons).toEqual(["*/10 * * * *"]);
  expect(script?.onWorkersDev).toBe(true);
  const keys = keysOf();
  expect(keys.edgeplaneSecret).toBe(before.edgeplaneSecret);
  const { current, profiles } = ConfigSchema.parse(
    JSON.parse(readFileSync(join(dir, "home/.config/edgeplane/config.json"), "utf8")),
  );
  expect(profiles[current]).toEqual({ url, key: keys.apiKey, adminKey: keys.adminKey });
  expect(output).toContain(
    `curl -fsSL ${url}/pool/install.sh | EDGEPLANE_URL=${url} EDGEPLANE_POOL_TOKEN=${keys.poolToken ?? "none"} sh`,
  );
  expect(output.split(keys.adminKey)).toHaveLength(2);
  for (const secret of [keys.edgeplaneSecret, keys.credentialSecret]) expect(output).not.toContain(secret);
  expect(cloudflare.unknown).toEqual([]);
});

test("what was deployed serves its installer and its page, and a pool that dials in", async () => {
  for (const path of ["/healthz", "/pool/install.sh", "/docs", "/docs/scalar.js"])
    expect((await fetch(`${url}${path}`)).status, path).toBe(200);
  home = makeHome({});
  cpSync(join(root, "examples/hello-world"), join(home.models, "hello-world"), { recursive: true });
  pool = startPool(home, url, keysOf().poolToken ?? "");
  const headers = {
    authorization: `Bearer ${keysOf().apiKey ?? ""}`,
    "content-type": "application/json",
    prefer: "wait",
  };
  const predict = async (): Promise<string> => {
    const body = JSON.stringify({ input: { text: "Ada" } });
    const path = "/v1/models/local/hello-world/predictions";
    return (await fetch(`${url}${path}`, { method: "POST", headers, body })).text();
  };
  await expect.poll(predict, { timeout: 60_000 }).toContain('"hello Ada"');
});

test("a second run upgrades: a version more, all else as it was, checked by a prediction", async () => {
  const [keys, from] = [keysOf(), cloudflare.calls.length];
  const secrets = new Map(cloudflare.scripts.get("edgeplane")?.secrets);
  const { code, output } = await deploy(["--url", url]);
  expect(output).toMatch(/✓ a prediction runs: local\/hello-world answered/);
  expect(code).toBe(0);
  expect(cloudflare.writes(from).filter((call) => !call.endsWith("/query"))).toEqual([
    "POST /workers/scripts/edgeplane/assets-upload-session",
    "POST /workers/scripts/edgeplane/versions",
    "POST /workers/scripts/edgeplane/deployments",
    "PATCH /workers/scripts/edgeplane/script-settings",
    "POST /workers/scripts/edgeplane/subdomain",
    "PUT /workers/scripts/edgeplane/schedules",
  ]);
  expect(keysOf()).toEqual(keys);
  expect(cloudflare.scripts.get("edgeplane")?.secrets).toEqual(secrets);
  for (const secret of [keys.adminKey, keys.apiKey, keys.poolToken]) expect(output).not.toContain(secret);
});

test("from another machine it upgrades too, and says what it hasn't: secrets are never replaced", async () => {
  const secrets = new Map(cloudflare.scripts.get("edgeplane")?.secrets);
  const { code, output } = await deploy(["--url", url], { place: "elsewhere" });
  expect(output).toContain("the operator's key is not kept here. Set EDGEPLANE_ADMIN_KEY");
  expect(code).toBe(0);
  expect(cloudflare.scripts.get("edgeplane")?.secrets).toEqual(secrets);
});
