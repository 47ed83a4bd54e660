/** Lets some accounts run predictions during certain hours only (UTC). */
import type { Plugin } from "edgeplane-plugin";

const HOUR_MS = 3_600_000;

export default {
  setup: ({ config }) => ({
    admit(call) {
      if (!config.accounts.includes(call.principal.accountName)) return { verdict: "continue" };
      const now = Date.now();
      const hour = new Date(now).getUTCHours();
      if (hour >= config.from_hour && hour < config.to_hour) return { verdict: "continue" };
      const hoursLeft = (config.from_hour - hour + 24) % 24;
      return {
        verdict: "reject",
        code: "rate_limited",
        message: `This account may run predictions from ${config.from_hour}:00 to ${config.to_hour}:00 UTC.`,
        retryAfterMs: hoursLeft * HOUR_MS - (now % HOUR_MS),
      };
    },
  }),
} satisfies Plugin<{ from_hour: number; to_hour: number; accounts: string[] }>;
