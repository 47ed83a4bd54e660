/** Gives predictions with a large input a low priority, so that small ones don't wait for them. */
import type { Plugin } from "edgeplane-plugin";

export default {
  setup: ({ config }) => ({
    route: (call) =>
      call.inputBytes > config.large_bytes && call.priority === "normal"
        ? { verdict: "continue", subject: { priority: "low" } }
        : { verdict: "continue" },
  }),
} satisfies Plugin<{ large_bytes: number }>;
