/** Replaces e-mail addresses in some fields of the input before a model sees them. */
import type { Json, Plugin } from "edgeplane-plugin";

const EMAIL = /[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,24}/g;

export default {
  setup: ({ config }) => ({
    screenInput(call) {
      const input: { [key: string]: Json } = { ...call.input };
      for (const field of config.fields) {
        const text = input[field];
        if (typeof text === "string") input[field] = text.replace(EMAIL, "[e-mail]");
      }
      const isChanged = config.fields.some((field) => input[field] !== call.input[field]);
      if (!isChanged) return { verdict: "continue" };
      return { verdict: "continue", subject: { input }, findings: [{ category: "pii", rule: "e-mail" }] };
    },
  }),
} satisfies Plugin<{ fields: string[] }>;
