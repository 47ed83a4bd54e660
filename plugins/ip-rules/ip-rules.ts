/**
 * `ip-rules`: who may call, by address. A call from a denied range is refused; with an `allow` list, so is every call
 * from elsewhere, and one whose address nobody knows.
 */
import * as z from "zod";
import { definePlugin } from "../kernel/define-plugin.ts";
import { judge, proceed } from "../kernel/phases.ts";
import { contains, parseAddress, parseRange } from "./cidr.ts";
import type { Range } from "./cidr.ts";

const MAX_RANGES = 10_000;

const RangeSchema = z
  .string()
  .max(64)
  .refine((text) => parseRange(text) !== null, {
    error: "an IP address or a range such as 192.0.2.0/24 or 2001:db8::/32",
  });

export const ipRules = definePlugin({
  name: "ip-rules",
  apiVersion: 1,
  phases: ["authenticate"],
  config: z.strictObject({
    allow: z
      .array(RangeSchema)
      .max(MAX_RANGES)
      .optional()
      .meta({ description: "Only these may call. Left out, all may that are not denied." }),
    deny: z.array(RangeSchema).max(MAX_RANGES).default([]).meta({ description: "These may not call, allowed or not." }),
  }),
  example: { deny: ["192.0.2.0/24"] },
  setup({ config }) {
    const allow = config.allow?.map(rangeOf);
    const deny = config.deny.map(rangeOf);
    const refusal = {
      verdict: "reject",
      code: "rejected_by_policy",
      message: "Calls from this address are not let in.",
      findings: [{ category: "address", rule: "ip-rules" }],
    } as const;
    return {
      authenticate: judge(({ clientIp }) => {
        const address = clientIp === null ? null : parseAddress(clientIp);
        if (address === null) return allow === undefined ? proceed : refusal;
        if (deny.some((range) => contains(range, address))) return refusal;
        return allow === undefined || allow.some((range) => contains(range, address)) ? proceed : refusal;
      }),
    };
  },
});

function rangeOf(text: string): Range {
  const range = parseRange(text);
  if (range === null) throw new Error(`"${text}" is no range of addresses`);
  return range;
}
