/** Notes predictions that ran longer than they should, where the operator counts verdicts. */
import type { Plugin } from "edgeplane-plugin";

export default {
  setup: ({ config }) => ({
    onResult({ metrics }) {
      const seconds = metrics["predict_time"];
      const isSlow = typeof seconds === "number" && seconds > config.seconds;
      return isSlow
        ? { verdict: "continue", findings: [{ category: "slow", rule: "predict_time" }] }
        : { verdict: "continue" };
    },
  }),
} satisfies Plugin<{ seconds: number }>;
