/** The pages of `/docs` in a real browser, over the whole stack: two accounts that used three models between them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import * as z from "zod";
import { startStack } from "../../scripts/lib/stack.ts";
import type { Stack } from "../../scripts/lib/stack.ts";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { newPage, startChromium } from "./chromium.ts";

const PHONE_PX = 360;
/** How long usage may take to be counted. */
const COUNTED = { timeout: 30_000, interval: 100 };
const KeySchema = z.looseObject({ key: z.string() });
const UsageSchema = z.looseObject({ results: z.array(z.looseObject({ requests: z.number() })) });

let dir: string;
let stack: Stack;
let browser: Browser;
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
  await browser?.close();
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
  async function openUsage(phonePx?: number) {
    const { page, complaints } = await newPage(browser, phonePx);
    await page.goto(`${stack.url}/docs/usage`);
    return { page, complaints };
  }
  /** Asks with the key, and answers what the page says once it has its answer. */
  async function ask(page: Page, key: string): Promise<string> {
    await page.locator("#key-text").fill(key);
    await page.evaluate('document.getElementById("said").textContent = ""');
    await page.getByRole("button", { name: "Show" }).click();
    return said(page);
  }
  async function said(page: Page): Promise<string> {
    const text = () => page.locator("#said").innerText();
    await expect.poll(text).not.toMatch(/^\u2026?$/);
    return text();
  }
  const titles = async (page: Page) => texts(page.locator("#sums th"));
  /** What stands under `Model`. */
  async function models(page: Page): Promise<Set<string>> {
    const column = (await titles(page)).indexOf("Model") + 1;
    return new Set(await texts(page.locator(`#sums td:nth-child(${column})`)));
  }
  const texts = async (cells: Locator): Promise<string[]> => cells.allInnerTexts();

  it("shows each account its own usage alone", async () => {
    const { page, complaints } = await openUsage();
    expect(await ask(page, keys.first)).toMatch(/sums\.$/);
    expect(await models(page)).toEqual(new Set(["local/hello-world", "local/stream-words"]));
    expect(await ask(page, keys.second)).toMatch(/sums?\.$/);
    expect(await models(page)).toEqual(new Set(["local/echo"]));
    expect(complaints).toEqual([]);
  });

  it("says that nothing was used", async () => {
    const { page, complaints } = await openUsage();
    expect(await ask(page, keys.third)).toBe("Nothing was used.");
    expect(await models(page)).toEqual(new Set());
    expect(complaints).toEqual([]);
  });

  it("says why a key is refused, and shows nobody's sums beside that", async () => {
    const { page, complaints } = await openUsage();
    await ask(page, keys.first);
    expect(await ask(page, "ep_wrong")).toMatch(/^401: /);
    expect(await models(page)).toEqual(new Set());
    // The browser itself notes the answer; there is nothing else.
    expect(complaints).toEqual([expect.stringContaining("401 (Unauthorized)")]);
  });

  it("shows the operator any account's", async () => {
    const { page, complaints } = await openUsage();
    await page.locator("#account").fill("second");
    await ask(page, stack.adminKey);
    expect(await models(page)).toEqual(new Set(["local/echo"]));
    expect(complaints).toEqual([]);
  });

  it("saves a table of FOCUS", async () => {
    const { page, complaints } = await openUsage();
    await page.locator("#key-text").fill(keys.first);
    const saved = page.waitForEvent("download");
    await page.locator("#csv").click();
    const download = await saved;
    expect(download.suggestedFilename()).toBe("usage.csv");
    const lines = readFileSync(await download.path(), "utf8").split("\r\n");
    expect(lines[0]).toMatch(/^BilledCost,/);
    expect(lines.filter((line) => line.includes("local/"))).not.toEqual([]);
    expect(await said(page)).toBe("Saved.");
    expect(complaints).toEqual([]);
  });

  it("fits a phone, however many columns are shown", async () => {
    const { page, complaints } = await openUsage(PHONE_PX);
    const more = ["key", "device", "deployment", "phase"];
    for (const name of more) await page.locator(`#group-${name}`).check();
    await ask(page, keys.first);
    const shown = (await titles(page)).map((title) => title.toLowerCase());
    expect(shown).toEqual(expect.arrayContaining(["model", ...more]));
    expect(await models(page)).toEqual(new Set(["local/hello-world", "local/stream-words"]));
    await fits(page);
    expect(complaints).toEqual([]);
  });
});

it("renders the document of the API", async () => {
  const { page, complaints } = await newPage(browser);
  await page.goto(`${stack.url}/docs`);
  // Its script has megabytes.
  const text = () => page.locator("body").innerText();
  await expect.poll(text, { timeout: 60_000 }).toContain("/v1/predictions");
  expect(complaints).toEqual([]);
});

it("leads from a code to its row, on a phone, too", async () => {
  const { page, complaints } = await newPage(browser, PHONE_PX);
  await page.goto(`${stack.url}/docs/errors#unauthenticated`);
  expect(await page.locator(":target").innerText()).toContain("401");
  await fits(page);
  expect(complaints).toEqual([]);
});

/** Nothing is wider than the screen, and nothing was made smaller for that. */
async function fits(page: Page): Promise<void> {
  expect(await page.evaluate("[document.documentElement.scrollWidth, visualViewport.scale]")).toEqual([PHONE_PX, 1]);
}
