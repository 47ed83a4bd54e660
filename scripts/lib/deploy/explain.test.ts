import { expect, test } from "vitest";
import { explain, isPassing } from "./explain.ts";

/** As wrangler 4.156.2 writes it. */
const refused = (path: string, reason: string): string => `
 ⛅️ wrangler 4.156.2 (update available 4.164.0)
───────────────────────────────────────────────
\u001B[31m✘ \u001B[41;31m[\u001B[41;97mERROR\u001B[41;31m]\u001B[0m \u001B[1mA request to the Cloudflare API (/accounts/${"0".repeat(32)}${path}) failed.\u001B[0m

  ${reason}
  
  If you think this is a bug, please open an issue at: \u001B[4mhttps://github.com/cloudflare/workers-sdk\u001B[0m


🪵  Logs were written to "/root/.config/.wrangler/logs/wrangler-2026-11-29_03-51-56_477.log"
`;

test.each([
  ["/r2/buckets", "Please enable R2 through the Cloudflare Dashboard. [code: 10042]", /^R2 is not turned on/],
  ["/r2/buckets", "Authentication error [code: 10000]", /lacks the permission "Workers R2 Storage: Edit"/],
  ["/d1/database/x", "Authentication error [code: 10000]", /lacks the permission "D1: Edit"/],
  ["/workers/scripts/x", "Authentication error [code: 10000]", /lacks the permission "Workers Scripts: Edit"/],
  ["/d1/database", "You have reached the maximum number of D1 databases for your account.", /as many D1 databases/],
  [
    "/workers/scripts/x",
    "Your Worker exceeded the size limit of 3 MiB. [code: 10027]",
    /larger than this account's plan/,
  ],
  ["/user/tokens/verify", "Invalid access token [code: 9109]", /^Cloudflare doesn't know the token/],
  ["/workers/scripts/x", "migration tag precondition failed [code: 10079]", /^the Worker changed while/],
  ["/workers/scripts/x", "no such column: colour [code: 7500]", /^A request .*no such column: colour \[code: 7500\]$/],
])("%s: %s", (path, reason, expected) => {
  const { message, remedy } = explain(refused(path, reason));
  expect(message).toMatch(expected);
  expect(message).not.toMatch(/\n|🪵|0{32}|If you think/);
  expect(remedy).toMatch(/\.$/);
});

test("what passes by itself is told from what doesn't", () => {
  expect(isPassing(refused("/d1/database", "Please wait and consider throttling your request speed [code: 971]"))).toBe(
    true,
  );
  expect(isPassing(refused("/d1/database", "An unknown error has occurred [code: 10013]"))).toBe(true);
  expect(isPassing("✘ [ERROR] fetch failed\n")).toBe(true);
  expect(isPassing(refused("/d1/database", "Authentication error [code: 10000]"))).toBe(false);
  expect(isPassing(refused("/d1/database", "no such column: colour [code: 7500]"))).toBe(false);
});
