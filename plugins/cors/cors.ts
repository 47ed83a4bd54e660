/**
 * `cors`: which web pages may call. Without it, a page of any origin may, with a key. A call that carries an `Origin`
 * which is not listed is refused; calls without one come from no page and pass.
 */
import * as z from "zod";
import { definePlugin } from "../kernel/define-plugin.ts";
import { judge, proceed } from "../kernel/phases.ts";

const MAX_ORIGINS = 1000;

const OriginSchema = z
  .string()
  .max(300)
  .refine((text) => isOrigin(text), { error: "an origin such as https://app.example.com, or https://*.example.com" });

export const cors = definePlugin({
  name: "cors",
  apiVersion: 1,
  phases: ["authenticate"],
  config: z.strictObject({
    origins: z
      .array(OriginSchema)
      .max(MAX_ORIGINS)
      .meta({ description: "Origins of pages that may call; `*.` at the front of the host stands for any one name." }),
  }),
  example: { origins: ["https://app.example.com", "https://*.example.org"] },
  setup({ config }) {
    const exact = new Set(config.origins.filter((origin) => !origin.includes("*")));
    const patterns = config.origins.filter((origin) => origin.includes("*")).map((origin) => origin.split("*"));
    const isListed = (origin: string): boolean =>
      exact.has(origin) || patterns.some(([before = "", after = ""]) => isBetween(origin, before, after));
    return {
      authenticate: judge((call) => {
        const origin = call.header("origin");
        if (origin === undefined) return proceed;
        if (isListed(origin)) {
          return { verdict: "continue", headers: { "access-control-allow-origin": origin, vary: "Origin" } };
        }
        const message = "Pages of this origin may not call here.";
        return {
          verdict: "reject",
          code: "rejected_by_policy",
          message,
          findings: [{ category: "origin", rule: "cors" }],
        };
      }),
    };
  },
});

/** Whether `origin` is `before`, one name without a dot, and `after`. */
function isBetween(origin: string, before: string, after: string): boolean {
  if (!origin.startsWith(before) || !origin.endsWith(after)) return false;
  const name = origin.slice(before.length, origin.length - after.length);
  return origin.length > before.length + after.length && /^[a-z0-9-]+$/.test(name);
}

function isOrigin(text: string): boolean {
  const plain = text.replace(/^(https?:\/\/)\*\./, "$1any.");
  return !plain.includes("*") && URL.canParse(plain) && new URL(plain).origin === plain && /^https?:/.test(plain);
}
