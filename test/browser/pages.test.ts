/** The pages of `/docs` in a real browser, over the whole stack: two accounts that used three models between them. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startChromium } from "./chromium.ts";
import type { Browser, Page } from "./chromium.ts";

const PHONE_PX = 360;
/** How long usage may take to be counted. */
const COUNTED = { timeout: 30_000, interval: 100 };
const KeySchema = z.looseObject({ key: z.string() });
const UsageSchema = z.looseObject({ results: z.array(z.looseObject({ requests: z.number() })) });
const TableSchema = z.array(z.array(z.string()));

let dir: string;
let stack: Stack;
let browser: Browser;
let page: Page;
/** Of `first`, who used two models, of `second`, who used a third, and of `third`, who used none. */
let keys: { first: string; second: string; third: string };

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "edgeplane-browser-"));
  stack = await startStack({ offline: true, stateDir: join(dir, "state") });
  await helloThrough(stack);
  keys = { first: await newKey("first"), second: await newKey("second"), third: await newKey("third") };
  await use(keys.first, "hello-world", { text: "a" });
  await use(keys.first, "stream-words", { text: "a b" });
  await use(keys.second, "echo", { value: 1 });
  await vi.waitFor(allCounted, COUNTED);
  browser = await startChromium();
});
afterAll(async () => {
  await browser?.stop();
  await stack?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function send(key: string, path: string, body?: object): Promise<unknown> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", prefer: "wait" };
  const request = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  const answer = await fetch(stack.url + path, request);
  expect(answer.ok).toBe(true);
  return answer.json();
}
async function newKey(account: string): Promise<string> {
  await send(stack.adminKey, "/admin/v1/accounts", { name: account });
  return KeySchema.parse(await send(stack.adminKey, "/admin/v1/keys", { account })).key;
}
async function use(key: string, model: string, input: object): Promise<void> {
  await send(key, `/v1/models/local/${model}/predictions`, { input });
}
async function allCounted(): Promise<void> {
  expect([await counted(keys.first), await counted(keys.second)]).toEqual([2, 1]);
}
async function counted(key: string): Promise<number> {
  const { results } = UsageSchema.parse(await send(key, "/v1/usage"));
  return results.reduce((sum, { requests }) => sum + requests, 0);
}

describe("/docs/usage", () => {
  beforeEach(async () => {
    page = await browser.newPage();
    await page.open(`${stack.url}/docs/usage`);
  });

  /** Asks with the key, and answers what the page says once it has its answer. */
  async function ask(key: string): Promise<string> {
    await page.type("key-text", key);
    await page.evaluate('document.getElementById("said").textContent = ""');
    await page.click("#ask button");
    return said();
  }
  async function said(): Promise<string> {
    const text = () => page.evaluate('document.getElementById("said").textContent');
    await expect.poll(text).not.toMatch(/^\u2026?$/);
    return String(await text());
  }
  /** What stands under `Model`. */
  async function models(): Promise<Set<string | undefined>> {
    const cells = "[...document.querySelectorAll('#sums tr')].map((row) => [...row.cells].map((one) => one.innerText))";
    const [titles = [], ...rows] = TableSchema.parse(await page.evaluate(cells));
    return new Set(rows.map((row) => row[titles.indexOf("Model")]));
  }

  it("shows each account its own usage alone", async () => {
    expect(await ask(keys.first)).toMatch(/sums\.$/);
    expect(await models()).toEqual(new Set(["local/hello-world", "local/stream-words"]));
    expect(await ask(keys.second)).toMatch(/sums?\.$/);
    expect(await models()).toEqual(new Set(["local/echo"]));
    expect(page.complaints).toEqual([]);
  });

  it("says that nothing was used", async () => {
    expect(await ask(keys.third)).toBe("Nothing was used.");
    expect(await models()).toEqual(new Set());
    expect(page.complaints).toEqual([]);
  });

  it("says why a key is refused, and shows nobody's sums beside that", async () => {
    await ask(keys.first);
    expect(await ask("ep_wrong")).toMatch(/^401: /);
    expect(await models()).toEqual(new Set());
    // The browser itself notes the answer; there is nothing else.
    expect(page.complaints).toEqual([expect.stringContaining("401 (Unauthorized)")]);
  });

  it("shows the operator any account's", async () => {
    await page.type("account", "second");
    await ask(stack.adminKey);
    expect(await models()).toEqual(new Set(["local/echo"]));
    expect(page.complaints).toEqual([]);
  });

  it("saves a table of FOCUS", async () => {
    await page.saveIn(dir);
    await page.type("key-text", keys.first);
    await page.click("#csv");
    expect(await said()).toBe("Saved.");
    await expect.poll(() => readdirSync(dir)).toContain("usage.csv");
    const lines = () => readFileSync(join(dir, "usage.csv"), "utf8").split("\r\n");
    await expect.poll(() => lines()[0]).toMatch(/^BilledCost,/);
    expect(lines().filter((line) => line.includes("local/"))).not.toEqual([]);
    expect(page.complaints).toEqual([]);
  });

  it("fits a phone, however many columns are shown", async () => {
    await page.asPhone(PHONE_PX);
    const more = ["key", "device", "deployment", "phase"];
    for (const name of more) await page.click(`#group-${name}`);
    await ask(keys.first);
    const titles = "[...document.querySelectorAll('#sums th')].map((one) => one.innerText.toLowerCase())";
    expect(await page.evaluate(titles)).toEqual(expect.arrayContaining(["model", ...more]));
    expect(await models()).toEqual(new Set(["local/hello-world", "local/stream-words"]));
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(PHONE_PX);
    expect(await page.evaluate("visualViewport.scale")).toBe(1);
    expect(page.complaints).toEqual([]);
  });
});

it("renders the document of the API", async () => {
  page = await browser.newPage();
  await page.open(`${stack.url}/docs`);
  // Its script has megabytes.
  const text = () => page.evaluate("document.body.innerText");
  await expect.poll(text, { timeout: 60_000 }).toContain("/v1/predictions");
  expect(page.complaints).toEqual([]);
});

it("leads from a code to its row, on a phone, too", async () => {
  page = await browser.newPage();
  await page.asPhone(PHONE_PX);
  await page.open(`${stack.url}/docs/errors#unauthenticated`);
  expect(await page.evaluate("document.querySelector(':target').innerText")).toContain("401");
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(PHONE_PX);
  expect(page.complaints).toEqual([]);
});
