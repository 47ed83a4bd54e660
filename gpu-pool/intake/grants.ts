/**
 * Claims' answers at the pool's border. The input was just parsed from JSON and is any JSON value by construction, so
 * it is not walked a second time: for a large input that walk would cost more than all the rest.
 */
import * as z from "zod";
import { EdgeMessageSchema } from "../../src/contract/channel.ts";
import type { EdgeMessage } from "../../src/contract/channel.ts";
import { ClaimAnswerSchema, GrantSchema } from "../../src/contract/claim.ts";
import type { ClaimAnswer, Grant } from "../../src/contract/claim.ts";
import type { Json } from "../../src/contract/prediction.ts";

const [, RefusedSchema, LaterSchema] = ClaimAnswerSchema.options;
const UnwalkedGrantSchema = GrantSchema.extend({ input: z.custom<Json>().optional() });
const AnswerSchema = z.discriminatedUnion("verdict", [UnwalkedGrantSchema, RefusedSchema, LaterSchema]);
const GrantsSchema = z.object({ type: z.literal("grants"), grants: z.array(UnwalkedGrantSchema) });
const ReplySchema = z.object({ claims: z.array(AnswerSchema) });

/** A message of the control channel; null: of a later edge, and left alone. */
export function parseEdgeMessage(text: string): EdgeMessage | null {
  try {
    const message: unknown = JSON.parse(text);
    const grants = GrantsSchema.safeParse(message);
    return grants.success ? grants.data : (EdgeMessageSchema.safeParse(message).data ?? null);
  } catch {
    return null;
  }
}

/** The answer that the edge attached to a record. Throws when it isn't one. */
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
