/** Lets a partner in by a header of its own; calls without it are left to the other plugins. */
import type { Plugin } from "edgeplane-plugin";

const DAY_MS = 86_400_000;

export default {
  setup: ({ config }) => ({
    authenticate(call) {
      const token = call.header("x-partner-token");
      if (token === undefined) return { verdict: "continue" };
      if (!isSame(token, config.token)) {
        return { verdict: "reject", code: "unauthenticated", message: "The partner token is not valid." };
      }
      const principal = {
        accountId: config.account_id,
        accountName: config.account_name,
        retentionMs: DAY_MS,
        weight: 1,
        credentialId: "partner-token",
        scopes: ["predictions:read", "predictions:write", "models:read"],
        maxPriority: "normal" as const,
      };
      return { verdict: "continue", subject: { principal } };
    },
  }),
} satisfies Plugin<{ token: string; account_id: string; account_name: string }>;

/** Takes as long for a token that is nearly right as for any other. */
function isSame(given: string, wanted: string): boolean {
  let differing = given.length ^ wanted.length;
  for (let at = 0; at < wanted.length; at += 1) differing |= given.charCodeAt(at) ^ wanted.charCodeAt(at);
  return differing === 0;
}
