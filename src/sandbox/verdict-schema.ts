/**
 * What a hook of an uploaded plugin may answer. Its isolate is not trusted: an answer is checked in full, of a changed
 * subject only what a plugin may change is taken, and it reserves nothing.
 */
import * as z from "zod";
import type { Phase, PhaseSubject, Verdict } from "../../plugins/kernel/phases.ts";
import { scopes } from "../../plugins/kernel/phases.ts";
import { errorTable } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";
import { LaneNameSchema } from "../contract/job.ts";
import { PrioritySchema } from "../contract/prediction.ts";

export const MAX_MESSAGE_CHARS = 1000;
const MAX_FINDINGS = 32;
const MAX_HEADERS = 16;
export const MAX_HELD_CHARS = 64 * 1024;
const MAX_WAIT_MS = 86_400_000;
const MAX_COST = 1e9;

/** Refusals are the client's to mend or to wait out: what else goes wrong is not a plugin's to say. */
function mayRefuseWith(code: string): code is ErrorCode {
  if (!Object.hasOwn(errorTable, code)) return false;
  const { status } = errorTable[code as ErrorCode];
  return (status >= 400 && status < 500) || status === 503;
}

export const FindingsSchema = z
  .array(z.object({ category: z.string().min(1).max(64), rule: z.string().min(1).max(128) }))
  .max(MAX_FINDINGS)
  .optional();
const HeadersSchema = z
  .record(z.string().regex(/^x-[a-z0-9-]{1,62}$/, "a header that begins with x-"), z.string().max(1000))
  .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, `at most ${MAX_HEADERS} headers`)
  .optional();
const RefusalShape = {
  code: z.string().refine(mayRefuseWith, "a code of the error table, 4xx or 503"),
  message: z.string().min(1).max(MAX_MESSAGE_CHARS),
  retryAfterMs: z.number().min(0).max(MAX_WAIT_MS).optional(),
  findings: FindingsSchema,
};
const PrincipalSchema = z.object({
  accountId: z.string().min(1).max(128),
  accountName: z.string().min(1).max(128),
  retentionMs: z.int().min(0),
  weight: z.number().min(0.01).max(1000),
  credentialId: z.string().min(1).max(128),
  scopes: z.array(z.enum(scopes)),
  maxPriority: PrioritySchema,
});
const CallChangeSchema = z.object({
  input: z.record(z.string(), z.json()).optional(),
  priority: PrioritySchema.optional(),
  lane: LaneNameSchema.optional(),
  cost: z.number().positive().max(MAX_COST).optional(),
  startTimeoutMs: z.int().positive().optional(),
  totalTimeoutMs: z.int().positive().optional(),
});

/** What a plugin may change of each phase's subject. */
const changeSchemas = {
  authenticate: z.object({ principal: PrincipalSchema.optional() }),
  admit: CallChangeSchema,
  screenInput: CallChangeSchema,
  route: CallChangeSchema.extend({ model: z.looseObject({ version: z.string() }).optional() }),
  screenOutput: z.object({ output: z.json().optional() }),
  onResult: z.object({}),
} as const satisfies Record<Phase, z.ZodType>;

const AnswerSchema = z.discriminatedUnion("verdict", [
  z.object({
    verdict: z.literal("continue"),
    subject: z.unknown().optional(),
    held: z.string().max(MAX_HELD_CHARS).nullish(),
    headers: HeadersSchema,
    findings: FindingsSchema,
  }),
  z.object({ verdict: z.literal("reject"), headers: HeadersSchema, ...RefusalShape }),
  z.object({ verdict: z.literal("shadow"), ...RefusalShape }),
]);

/** The verdict that `answer` is, over `subject`. Throws `z.ZodError` when it is none. */
export function parseVerdict<P extends Phase>(
  phase: P,
  subject: Readonly<PhaseSubject[P]>,
  answer: unknown,
): Verdict<PhaseSubject[P]> {
  const told = AnswerSchema.parse(answer);
  const findings = told.findings === undefined ? {} : { findings: told.findings };
  if (told.verdict !== "continue") {
    const { verdict, code, message, retryAfterMs } = told;
    const headers = told.verdict === "reject" && told.headers !== undefined ? { headers: told.headers } : {};
    const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
    return { verdict, code, message, ...wait, ...headers, ...findings };
  }
  return {
    verdict: "continue",
    ...findings,
    ...(told.headers === undefined ? {} : { headers: told.headers }),
    ...(told.held === undefined ? {} : { held: told.held }),
    ...(told.subject === undefined ? {} : { subject: { ...subject, ...changeOf(phase, told.subject) } }),
  };
}

function changeOf(phase: Phase, subject: unknown): object {
  return Object.fromEntries(
    Object.entries(changeSchemas[phase].parse(subject)).filter(([, value]) => value !== undefined),
  );
}
