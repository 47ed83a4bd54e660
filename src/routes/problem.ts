/**
 * Errors as answers: problem details (RFC 9457) in the shape that Replicate's clients know (`detail`, `title`,
 * `status`, `invalid_fields`), with our `code`, what to do about it, and the request's id.
 */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import * as z from "zod";
import { EdgeplaneError, errorTable } from "../contract/errors.ts";
import type { ErrorCode, InvalidField } from "../contract/errors.ts";
import { isPassing, retryDelayMs } from "../object-calls.ts";
import { isBeforeMigrations, migrationsPending } from "../registry/sql.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import type { AppContext } from "./app.ts";

export const ProblemSchema = z
  .object({
    type: z.string().meta({ description: "Where the code is explained, relative to the gateway." }),
    title: z.string(),
    detail: z.string().meta({ description: "What is wrong with this request." }),
    status: z.number().int(),
    code: z.enum(Object.keys(errorTable) as ErrorCode[]),
    remedy: z.string().meta({ description: "What to do about it." }),
    request_id: z.string(),
    invalid_fields: z.array(z.object({ type: z.string(), field: z.string(), description: z.string() })).optional(),
  })
  .meta({
    id: "Problem",
    description: "Why a request was refused (RFC 9457, in the shape that Replicate's clients know).",
  });
export type Problem = z.infer<typeof ProblemSchema>;

/** The page that explains all codes. */
export const ERRORS_PATH = "/docs/errors";

const FIRST_SERVER_ERROR = 500;

/** Stands in the paths of a claim's blobs. */
const CLAIM_TOKEN = /(?<=\/)[0-9a-f]{32}(?=\/)/g;

/** Answers an error that was thrown by a route. What is not an `EdgeplaneError` is logged, and told as `internal`. */
export function problemResponse(c: AppContext, thrown: unknown): Response {
  const error = toEdgeplaneError(thrown);
  if (error.status >= FIRST_SERVER_ERROR && error.code !== "not_implemented") {
    log.error("request_failed", {
      requestId: c.get("requestId"),
      method: c.req.method,
      path: c.req.path.replaceAll(CLAIM_TOKEN, "…"),
      code: error.code,
      reason: reasonOf(error.options.cause ?? error),
    });
  }
  const { invalidFields, headers } = error.options;
  const problem: Problem = {
    type: `${ERRORS_PATH}#${error.code}`,
    title: errorTable[error.code].title,
    detail: error.message.toWellFormed(),
    status: error.status,
    code: error.code,
    remedy: errorTable[error.code].remedy,
    request_id: c.get("requestId"),
    ...(invalidFields === undefined ? {} : { invalid_fields: invalidFields.map(withType) }),
  };
  const all: Record<string, string> = { ...headers, "content-type": "application/problem+json" };
  if (error.status === 401) all["www-authenticate"] = 'Bearer realm="edgeplane"';
  if (error.retryAfterS !== null) all["retry-after"] = String(error.retryAfterS);
  return c.body(JSON.stringify(problem), error.status as ContentfulStatusCode, all);
}

function toEdgeplaneError(thrown: unknown): EdgeplaneError {
  if (thrown instanceof EdgeplaneError) return thrown;
  if (isBeforeMigrations(thrown)) return migrationsPending(thrown);
  if (isPassing(thrown)) {
    const retryAfterMs = retryDelayMs(1, thrown);
    return new EdgeplaneError("unavailable", "The gateway is busy.", { cause: thrown, retryAfterMs });
  }
  return new EdgeplaneError("internal", "The gateway failed to answer this request.", { cause: thrown });
}

function withType(field: InvalidField): { type: string; field: string; description: string } {
  return { type: "invalid", field: field.field, description: field.description };
}
