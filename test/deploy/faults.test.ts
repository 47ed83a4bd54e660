/** What goes wrong at a deployment, by the real wrangler: one line that says what, and what to do; then it goes on. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { processIo } from "../../cli/io.ts";
import { DeployError } from "../../scripts/lib/deploy/deploy-error.ts";
import { deploy } from "../../scripts/lib/deploy/deploy.ts";
import { keysFile, readKeys } from "../../scripts/lib/deploy/keys.ts";
import { planDeployment } from "../../scripts/lib/deploy/plan.ts";
import { createWrangler } from "../../scripts/lib/deploy/wrangler.ts";
import { ACCOUNT_ID, FakeCloudflare, TOKEN } from "./cloudflare.ts";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-deploy-faults-"));
const assets = join(dir, "assets");
/** Nothing listens there. */
const NOWHERE = "http://127.0.0.1:1";

let cloudflare: FakeCloudflare;
let place = 0;

beforeAll(() => {
  mkdirSync(assets);
  writeFileSync(join(assets, "file.txt"), "a file");
});
beforeEach(async () => {
  place += 1;
  cloudflare = new FakeCloudflare();
  await cloudflare.start();
  cloudflare.stores.addMigrated("edgeplane", readdirSync(join(root, "src/registry/migrations")));
});
afterEach(async () => cloudflare.stop());
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const homeOf = () => join(dir, `home-${place}`);
const ioOf = () => ({ ...processIo(), env: { HOME: homeOf(), XDG_CONFIG_HOME: join(homeOf(), ".config") } });

/** A deployment up to where the edge would answer; the refusal as text, and what was said on the way. */
async function attempt(
  options: { environment?: string; env?: Record<string, string>; stop?: AbortController; pausesMs?: number[] } = {},
): Promise<{ refusal: string; said: string[] }> {
  const { environment = null, env = {}, stop = new AbortController(), pausesMs = [] } = options;
  const said: string[] = [];
  const say = (line: string) => void said.push(line);
  const io = ioOf();
  const base = {
    PATH: process.env["PATH"],
    NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
    ...io.env,
    CLOUDFLARE_API_BASE_URL: cloudflare.url,
    CLOUDFLARE_API_TOKEN: TOKEN,
    ...env,
  };
  const running = deploy({
    plan: planDeployment(environment, join(root, "wrangler.toml"), join(dir, "plans")),
    assets: () => Promise.resolve(assets),
    wranglerWith: (more) => createWrangler({ say, env: { ...base, ...more }, signal: stop.signal, pausesMs }),
    account: "local",
    url: NOWHERE,
    waitMs: 0,
    io,
    say,
    signal: stop.signal,
  });
  const refusal = await running.then(
    () => "none",
    (error: unknown) => (error instanceof DeployError ? `${error.message} → ${error.remedy}` : String(error)),
  );
  return { refusal, said };
}

test("nobody is logged in, the token is none, or the login has several accounts", async () => {
  const nobody = await attempt({ env: { CLOUDFLARE_API_TOKEN: "" } });
  expect(nobody.refusal).toMatch(
    /^nobody is logged in to Cloudflare → Run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN/,
  );
  const wrong = await attempt({ env: { CLOUDFLARE_API_TOKEN: "another" } });
  expect(wrong.refusal).toMatch(/^Cloudflare doesn't know the token .*→ Set CLOUDFLARE_API_TOKEN to one that is valid/);
  cloudflare.accounts.push({ id: "f".repeat(32), name: "Another" });
  const several = await attempt();
  expect(several.refusal).toBe(
    `the login has several accounts → Set CLOUDFLARE_ACCOUNT_ID to one of: An account (${ACCOUNT_ID}), Another (${"f".repeat(32)}).`,
  );
  expect(cloudflare.writes()).toEqual([]);
});

test("the token lacks a permission: it is named", async () => {
  cloudflare.refuse("GET /d1/database/.*", 403, 10_000, "Authentication error");
  expect((await attempt()).refusal).toMatch(/lacks the permission "D1: Edit".*→ Give the token that permission/);
  cloudflare.heal();
  cloudflare.refuse("GET /workers/scripts/[^/]+/secrets", 403, 10_000, "Authentication error");
  expect((await attempt()).refusal).toMatch(/lacks the permission "Workers Scripts: Edit"/);
});

test("R2 is off, there is no subdomain: each is said, and the next run goes on with the same secrets", async () => {
  cloudflare.refuse("(?:GET|POST) /r2/buckets.*", 403, 10_042, "Please enable R2 through the Cloudflare Dashboard.");
  expect((await attempt()).refusal).toMatch(/^R2 is not turned on for this account .*→ Turn it on/);
  const keys = readKeys(keysFile(ioOf(), ACCOUNT_ID, "edgeplane"));
  cloudflare.heal();
  cloudflare.stores.buckets.add("edgeplane-blobs");
  cloudflare.subdomain = null;
  const { refusal, said } = await attempt();
  expect(refusal).toMatch(/^this account has no workers\.dev subdomain .*→ Choose one/);
  expect(said).toContain("      they are up to date");
  expect([...cloudflare.scripts]).toEqual([]);
  expect(readKeys(keysFile(ioOf(), ACCOUNT_ID, "edgeplane"))).toEqual(keys);
});

test("a plan without Worker Loader refuses `--env plugins` only", async () => {
  cloudflare.refuse("PUT /workers/scripts/.*", 403, 10_195, "Worker Loader bindings require the Workers Paid plan.");
  const { refusal } = await attempt({ environment: "plugins" });
  expect(refusal).toMatch(/^this account's plan has no Worker Loader .*→ .*deploy without --env plugins/);
});

test("too many calls: it is tried again, and said", async () => {
  cloudflare.refuse("GET /d1/database/.*", 429, 971, "Please wait and consider throttling your request speed");
  const { refusal, said } = await attempt({ pausesMs: [0, 0] });
  expect(refusal).toMatch(/^Cloudflare asks for fewer calls .*→ Wait some minutes, and run this again/);
  expect(said.filter((line) => line.includes("once more in"))).toHaveLength(2);
});

test("the run is ended once the Worker is live: the next one keeps its secrets, and upgrades", async () => {
  const stop = new AbortController();
  cloudflare.onDeployed = async () => stop.abort();
  expect((await attempt({ stop })).refusal).toContain("AbortError");
  const secrets = new Map(cloudflare.scripts.get("edgeplane")?.secrets);
  expect([...secrets.keys()]).toEqual(["EDGEPLANE_SECRET", "CREDENTIAL_SECRET", "ADMIN_KEY"]);
  cloudflare.onDeployed = async () => {};
  const from = cloudflare.calls.length;
  const { refusal, said } = await attempt();
  expect(refusal).toMatch(
    /^the Worker is deployed, but http:\/\/127\.0\.0\.1:1 doesn't answer after 0 s .*run this again/,
  );
  expect(said).toContain("      they are there, and stay");
  expect(cloudflare.writes(from)).not.toContain("POST /r2/buckets");
  expect(cloudflare.scripts.get("edgeplane")?.secrets).toEqual(secrets);
  expect(readKeys(keysFile(ioOf(), ACCOUNT_ID, "edgeplane"))?.adminKey).toBe(secrets.get("ADMIN_KEY"));
});

test("`--env staging` is a deployment of its own: Worker, database, bucket and secrets", async () => {
  const { refusal } = await attempt({ environment: "staging" });
  expect(refusal).toMatch(/^the Worker is deployed, but/);
  expect([...cloudflare.scripts.keys()]).toEqual(["edgeplane-staging"]);
  expect([...cloudflare.stores.databases.keys()]).toEqual(["edgeplane", "edgeplane-staging"]);
  expect([...cloudflare.stores.buckets]).toEqual(["edgeplane-blobs-staging"]);
  expect(cloudflare.unknown).toEqual([]);
});
