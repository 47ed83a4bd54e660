/** The script of the page, run beside a page that is as much of one as it needs. */
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { SCRIPT, usagePage } from "./usage-page.ts";

class FakeElement {
  value = "";
  checked = false;
  textContent = "";
  children: FakeElement[] = [];
  readonly heard = new Map<string, (event: { preventDefault(): void }) => void>();
  addEventListener(name: string, heard: (event: { preventDefault(): void }) => void): void {
    this.heard.set(name, heard);
  }
  append(...children: FakeElement[]): void {
    this.children.push(...children);
  }
  replaceChildren(...children: FakeElement[]): void {
    this.children = children;
  }
  get texts(): string[][] {
    return this.children.map(({ children }) => children.map(({ textContent }) => textContent));
  }
}

async function open() {
  const html = await usagePage().text();
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id = ""]) => id);
  const elements = new Map(ids.map((id) => [id, new FakeElement()]));
  const asked: { path: string; authorization: string }[] = [];
  const answers: Response[] = [];
  const document = {
    getElementById: (id: string) => elements.get(id) ?? null,
    createElement: () => new FakeElement(),
  };
  const fetch = (path: string, { headers }: { headers: { authorization: string } }) => {
    asked.push({ path, authorization: headers.authorization });
    const answer = answers.shift();
    return answer === undefined ? Promise.reject(new Error("away")) : Promise.resolve(answer);
  };
  runInNewContext(SCRIPT, { document, fetch, URLSearchParams, URL });
  const at = (id: string) => elements.get(id) ?? new FakeElement();
  const said = async () => {
    at("ask").heard.get("submit")?.({ preventDefault() {} });
    await expect.poll(() => at("said").textContent).not.toBe("\u2026");
    return at("said").textContent;
  };
  return { asked, answers, at, said };
}

it("shows all sums of an account, page by page, told apart as it is asked, as text", async () => {
  const { asked, answers, at, said } = await open();
  at("key-text").value = "ep_a";
  at("by").value = "hour";
  at("group-model").checked = true;
  const sum = { from: "2026-11-29T00:00:00.000Z", model: "<b>o/n</b>", key: null, requests: 2, units: { tokens: 3 } };
  answers.push(Response.json({ results: [sum], next_cursor: "next" }));
  answers.push(Response.json({ results: [{ ...sum, model: "o/m" }], next_cursor: null }));
  expect(await said()).toBe("2 sums.");
  expect(asked).toEqual([
    { path: "/v1/usage?by=hour&limit=1000&group=model", authorization: "Bearer ep_a" },
    { path: "/v1/usage?by=hour&limit=1000&group=model&cursor=next", authorization: "Bearer ep_a" },
  ]);
  const [titles, first, second] = at("sums").texts;
  expect(titles?.slice(0, 3)).toEqual(["From", "Model", "Requests"]);
  expect([first?.slice(1, 3), second?.[1]]).toEqual([["<b>o/n</b>", "2"], "o/m"]);
  expect(first).toContain('{"tokens":3}');
});

it("asks the operator's way for another's account, and says what went wrong in place of sums", async () => {
  const { asked, answers, at, said } = await open();
  at("by").value = "day";
  at("account").value = "overhead";
  answers.push(Response.json({ detail: "There is no such account." }, { status: 404 }));
  expect(await said()).toBe("404: There is no such account.");
  expect(asked[0]?.path).toBe("/admin/v1/usage?by=day&limit=1000&account=overhead");
  answers.push(Response.json({ results: [{ from: "2026-11-29T00:00:00.000Z" }], next_cursor: null }));
  expect(await said()).toBe("1 sum.");
  expect(at("sums").texts).toHaveLength(2);
  expect(await said()).toBe("away");
  expect(at("sums").texts).toEqual([]);
});

it("runs its own script alone, and asks nobody but its gateway", async () => {
  const page = usagePage();
  const policy = page.headers.get("content-security-policy") ?? "";
  const nonce = /script-src 'nonce-([^']+)'/.exec(policy)?.[1] ?? "none";
  expect(await page.text()).toContain(`<script nonce="${nonce}">${SCRIPT}</script>`);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("connect-src 'self'");
});
