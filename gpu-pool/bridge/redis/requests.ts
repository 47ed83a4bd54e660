/**
 * The dialect's requests: a command as a JSON array, several of them, or a command as a path, whose last argument may
 * be a body of any bytes.
 */
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { parseJson } from "../http.ts";
import type { Request } from "../http.ts";
import type { Argument } from "./arguments.ts";
import { parseExactly } from "./exact-json.ts";

const MAX_ARGUMENTS = 1_000_000;

export type Batch = { kind: "single" | "pipeline" | "multi-exec"; commands: Argument[][] };

/** Reads a request's commands. Throws `invalid_request`, `invalid_json`. */
export function readCommands(request: Request, maxCommands: number): Batch {
  const [first, ...rest] = request.segments;
  if (first === undefined) return { kind: "single", commands: [commandOf(parseJson(request.body, parseExactly))] };
  if (rest.length === 0 && (first === "pipeline" || first === "multi-exec")) {
    const body = parseJson(request.body, parseExactly);
    if (!Array.isArray(body)) throw malformed();
    const commands = body.map(commandOf);
    if (commands.length <= maxCommands) return { kind: first, commands };
    throw new EdgeplaneError(
      "payload_too_large",
      `ERR ${commands.length} commands in one request; the bridge takes ${maxCommands}`,
    );
  }
  const command: Argument[] = [first, ...rest];
  if (request.method !== "GET" && request.body.length > 0) command.push(request.body);
  for (const [name, value] of request.query) {
    if (name === "_token") continue;
    command.push(name);
    if (value !== "") command.push(value);
  }
  return { kind: "single", commands: [command] };
}

/**
 * Any JSON value may be an argument, so an array is all that there is to check; by hand, as a schema costs a request 20
 * µs.
 */
function commandOf(value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_ARGUMENTS) throw malformed();
  try {
    return value.map(argumentOf);
  } catch {
    // Nested deeper than can be written again.
    throw malformed();
  }
}

function argumentOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function malformed(): EdgeplaneError {
  return new EdgeplaneError(
    "invalid_request",
    'ERR send a command as a JSON array, e.g. ["SET","key","value"]; to /pipeline and /multi-exec an array of them',
  );
}
