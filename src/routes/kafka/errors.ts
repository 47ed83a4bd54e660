/** Errors of `/kafka`: always `{error, status}` as the dialect has it, and the code of the error table. */
import { EdgeplaneError, errorTable } from "../../contract/errors.ts";
import { isPassing, retryDelayMs } from "../../object-calls.ts";
import { isBeforeMigrations, migrationsPending } from "../../registry/sql.ts";

export function errorBody(error: unknown): Response {
  const known = error instanceof EdgeplaneError ? error : broken(error);
  const body = { error: known.message.toWellFormed(), status: known.status, code: known.code };
  const retry = known.retryAfterS === null ? {} : { "retry-after": String(known.retryAfterS) };
  return Response.json(body, { status: known.status, headers: { ...known.options.headers, ...retry } });
}

/** What went wrong inside is the operator's to read. An object that restarts or is overloaded is worth another try. */
function broken(error: unknown): EdgeplaneError {
  console.error("kafka call failed", error instanceof Error ? error.message : String(error));
  if (isBeforeMigrations(error)) return migrationsPending(error);
  const code = isPassing(error) ? "unavailable" : "internal";
  return new EdgeplaneError(
    code,
    errorTable[code].remedy,
    isPassing(error) ? { retryAfterMs: retryDelayMs(1, error) } : {},
  );
}
