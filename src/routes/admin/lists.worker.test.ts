/**
 * The operator's lists: every entry is reached, whatever their number and however many were made in one millisecond.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { admin, call, callJson, testEnv } from "../../../test/worker/edge-harness.ts";

const operator = testEnv.ADMIN_KEY ?? "";
const SAME_MS = 1_700_000_000_000;
type Page = { results: { id: string; revoked_at?: string | null }[]; next_cursor: string | null };

const page = async (path: string) => (await callJson(`/admin/v1${path}`, { key: operator })).body as unknown as Page;
/** The ids of a list, read in pages of `limit`. */
async function walk(path: string, limit: number): Promise<string[]> {
  const seen: string[] = [];
  for (let cursor = ""; ;) {
    const { results, next_cursor: next } = await page(
      `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor}`,
    );
    expect(results.length).toBeLessThanOrEqual(limit);
    seen.push(...results.map(({ id }) => id));
    if (next === null) return seen;
    cursor = `&cursor=${next}`;
  }
}

const made: Record<"accounts" | "keys" | "tokens", string[]> = { accounts: [], keys: [], tokens: [] };
beforeAll(async () => {
  for (let count = 0; count < 5; count += 1) {
    made.accounts.push(String((await admin("/accounts", { name: `listed-${count}` }))["id"]));
    made.keys.push(String((await admin("/keys", { account: "listed-0" }))["id"]));
    made.tokens.push(String((await admin("/pool-tokens", {}))["id"]));
  }
  for (const table of ["accounts", "api_keys", "pool_tokens"])
    await testEnv.DB.prepare(`UPDATE ${table} SET created_at = ?`).bind(SAME_MS).run();
});

describe("the operator's lists", () => {
  it.each([1, 2, 5, 100])("reach every entry once, %i at a time", async (limit) => {
    expect(await walk("/accounts", limit)).toEqual(made.accounts.toSorted());
    expect(await walk("/keys?account=listed-0", limit)).toEqual(made.keys.toSorted());
    expect(await walk("/pool-tokens", limit)).toEqual(made.tokens.toSorted());
  });

  it("begin with the oldest", async () => {
    const oldest = made.accounts.toSorted().at(-1) ?? "";
    await testEnv.DB.prepare("UPDATE accounts SET created_at = ? WHERE id = ?")
      .bind(SAME_MS - 1, oldest)
      .run();
    const others = made.accounts.toSorted().slice(0, -1);
    expect(await walk("/accounts", 1)).toEqual([oldest, ...others]);
  });

  it("have revoked credentials apart", async () => {
    for (const [path, query, ids] of [
      ["/keys", "?account=listed-0", made.keys],
      ["/pool-tokens", "", made.tokens],
    ] as const) {
      const [revoked = "", ...valid] = ids;
      expect((await call(`/admin/v1${path}/${revoked}`, { method: "DELETE", key: operator })).status).toBe(204);
      expect(await walk(`${path}${query}`, 2)).toEqual(valid.toSorted());
      expect(await walk(`${path}${query}${query === "" ? "?" : "&"}revoked=true`, 2)).toEqual([revoked]);
    }
  });

  it.each(["limit=0", "limit=1001", "cursor=garbage", "revoked=all"])("refuse %s", async (query) => {
    const { status, body } = await callJson(`/admin/v1/pool-tokens?${query}`, { key: operator });
    expect([status, body["code"]]).toEqual([400, "invalid_request"]);
  });
});
