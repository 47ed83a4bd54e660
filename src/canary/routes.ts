/**
 * Rules of a model: which requests that name it alone get which of its versions. They are asked in their order, and the
 * first that fits decides.
 */
import * as z from "zod";
import { NameSchema } from "../contract/manifest.ts";
import { CREDENTIAL_HEADERS, isAmong, StickyBySchema, subjectOf } from "./split.ts";
import type { Asking } from "./split.ts";

const MAX_RULES = 32;
const MAX_ACCOUNTS = 100;
const MAX_VALUE_CHARS = 256;

const HeaderSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be a header's name in lower case")
      .refine((name) => !CREDENTIAL_HEADERS.includes(name), "must not be a header with a credential"),
    value: z.string().max(MAX_VALUE_CHARS).optional().meta({ description: "What it has to be; any, if left out." }),
    prefix: z.string().min(1).max(MAX_VALUE_CHARS).optional().meta({ description: "How it has to begin." }),
  })
  .refine(({ value, prefix }) => value === undefined || prefix === undefined, {
    error: "takes `value` or `prefix`, not both",
    path: ["value"],
  });

const RuleSchema = z.strictObject({
  header: HeaderSchema.optional(),
  accounts: z.array(NameSchema).min(1).max(MAX_ACCOUNTS).optional().meta({ description: "Names of accounts." }),
  percent: z.number().min(0.01).max(100).optional().meta({ description: "So many of those that fit so far." }),
  sticky_by: StickyBySchema,
  version: z.string().min(1).max(64).meta({ description: "What they get: a version's digits, or an alias." }),
});
export type Rule = z.output<typeof RuleSchema>;

export const RulesSchema = z
  .array(RuleSchema)
  .max(MAX_RULES)
  .superRefine((rules, context) => {
    const last = rules.findIndex((rule) => isForAll(rule));
    if (last === -1 || last === rules.length - 1) return;
    const message = `can't be reached: rule ${last} takes every request`;
    context.addIssue({ code: "custom", path: [last + 1], message });
  });

function isForAll({ header, accounts, percent }: Rule): boolean {
  return header === undefined && accounts === undefined && (percent === undefined || percent === 100);
}

export type Requester = Asking & { accountName: string };

/** Whether the rule is for the request. `salt`: by what shares are drawn, the model's name. */
export function fits(rule: Rule, salt: string, requester: Requester): boolean {
  const { header, accounts, percent, sticky_by: stickyBy, version } = rule;
  if (accounts !== undefined && !accounts.includes(requester.accountName)) return false;
  if (header !== undefined && !hasHeader(header, requester.header(header.name))) return false;
  return percent === undefined || isAmong(percent, `${salt} ${version}`, subjectOf(stickyBy, requester));
}

function hasHeader({ value, prefix }: z.output<typeof HeaderSchema>, sent: string | undefined): boolean {
  if (sent === undefined) return false;
  if (value !== undefined) return sent === value;
  return prefix === undefined || sent.startsWith(prefix);
}
