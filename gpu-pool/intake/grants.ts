/**
 * Claims' answers at the pool's border. The input was just parsed from JSON and is any JSON value by construction, so
 * it is not walked a second time: for a large input that walk would cost more than all the rest.
 */
import * as z from "zod";
import { ClaimAnswerSchema, GrantSchema } from "../../src/contract/claim.ts";
import type { ClaimAnswer, Grant } from "../../src/contract/claim.ts";
import type { Json } from "../../src/contract/prediction.ts";

const [, RefusedSchema, LaterSchema] = ClaimAnswerSchema.options;
const AnswerSchema = z.discriminatedUnion("verdict", [
  GrantSchema.extend({ input: z.custom<Json>().optional() }),
  RefusedSchema,
  LaterSchema,
]);
const ReplySchema = z.object({ claims: z.array(AnswerSchema) });

/** The answer that an embedded log attached to a record. Throws when it isn't one. */
export function parseAnswer(text: string): ClaimAnswer {
  return AnswerSchema.parse(JSON.parse(text));
}

/** The answers of `POST /pool/v1/claims`. Throws when they aren't. */
export function parseClaimReply(reply: unknown): ClaimAnswer[] {
  return ReplySchema.parse(reply).claims;
}

/** Each claim once: a log may repeat a record within one answer, and the same claim is then granted twice at once. */
export function distinct(grants: readonly Grant[]): Grant[] {
  return [...new Map(grants.map((grant) => [grant.token, grant])).values()];
}
