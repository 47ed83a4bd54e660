/** An operation's answers: those of its description, and every refusal that the table of errors has for it. */
import * as z from "zod";
import type { ZodOpenApiResponseObject, ZodOpenApiResponsesObject } from "zod-openapi";
import { errorTable } from "../../contract/errors.ts";
import type { ErrorCode } from "../../contract/errors.ts";
import type { Operation } from "../operation.ts";
import { refusalsOf } from "./security.ts";

const RetryAfterSchema = z.object({
  "Retry-After": z.string().meta({ description: "Seconds to wait before the next try.", examples: ["1"] }),
});
const ChallengeSchema = z.object({
  "WWW-Authenticate": z.string().meta({ description: "How to authenticate.", examples: ['Bearer realm="edgeplane"'] }),
});

/** All answers, by status. */
export function answersOf(operation: Operation): ZodOpenApiResponsesObject {
  const answers: [string, ZodOpenApiResponseObject][] = Object.entries(operation.answers);
  for (const [status, codes] of Map.groupBy(refusals(operation), (code) => errorTable[code].status)) {
    answers.push([String(status), problem(status, codes)]);
  }
  return Object.fromEntries(answers);
}

/** The codes that an operation may refuse with, each once. */
export function refusals(operation: Operation): ErrorCode[] {
  const { access, path, query, header, body, rawBody, errors, isLong } = operation;
  const codes: ErrorCode[] = [...refusalsOf(access), ...(errors ?? [])];
  if (path !== undefined) codes.push("not_found");
  if (path !== undefined || query !== undefined || header !== undefined) codes.push("invalid_request");
  if (body !== undefined)
    codes.push("invalid_json", "invalid_request", "payload_too_large", "invalid_input", "too_many_bytes");
  if (isLong === true) codes.push("too_many_bytes");
  if (body !== undefined || rawBody !== undefined) codes.push("unsupported_encoding");
  return [...new Set<ErrorCode>([...codes, "unavailable", "internal"])];
}

function problem(status: number, codes: readonly ErrorCode[]): ZodOpenApiResponseObject {
  const schema = {
    allOf: [
      { $ref: "#/components/schemas/Problem" },
      { type: "object" as const, properties: { status: { const: status }, code: { enum: [...codes] } } },
    ],
  };
  return {
    description: codes.map((code) => `\`${code}\`: ${errorTable[code].title}. ${errorTable[code].remedy}`).join("\n\n"),
    content: { "application/problem+json": { schema } },
    ...(status === 401 ? { headers: ChallengeSchema } : {}),
    ...(status === 429 || status === 503 ? { headers: RetryAfterSchema } : {}),
  };
}
