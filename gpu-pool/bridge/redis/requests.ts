/** The dialect's requests: a command as a JSON array, several of them, or a command as a path. */
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { parseJson } from "../http.ts";
import type { Request } from "../http.ts";

const MAX_ARGUMENTS = 1_000_000;

export type Batch = { kind: "single" | "pipeline" | "multi-exec"; commands: string[][] };

/** Reads a request's commands. Throws `invalid_request`, `invalid_json`. */
export function readCommands(request: Request, maxCommands: number): Batch {
  const [first, ...rest] = request.segments;
  if (first === undefined) return { kind: "single", commands: [commandOf(parseJson(request.body))] };
  if (rest.length === 0 && (first === "pipeline" || first === "multi-exec")) {
    const body = parseJson(request.body);
    if (!Array.isArray(body)) throw malformed();
    const commands = body.map(commandOf);
    if (commands.length <= maxCommands) return { kind: first, commands };
    throw new EdgeplaneError(
      "payload_too_large",
      `ERR ${commands.length} commands in one request; the bridge takes ${maxCommands}`,
    );
  }
  const command = [first, ...rest];
  if (request.method === "POST" && request.body.length > 0) command.push(request.body.toString("utf8"));
  for (const [name, value] of request.query) {
    if (name === "_token") continue;
    command.push(name);
    if (value !== "") command.push(value);
  }
  return { kind: "single", commands: [command] };
}

/** Any JSON value may be an argument, so an array is all that there is to check; by hand, as a schema costs a request 20 µs. */
function commandOf(value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_ARGUMENTS) throw malformed();
  try {
    return value.map(textOf);
  } catch {
    // Nested deeper than can be written again.
    throw malformed();
  }
}

function textOf(argument: unknown): string {
  if (typeof argument === "string") return argument;
  return typeof argument === "object" ? JSON.stringify(argument) : String(argument);
}

function malformed(): EdgeplaneError {
  return new EdgeplaneError(
    "invalid_request",
    'ERR send a command as a JSON array, e.g. ["SET","key","value"]; to /pipeline and /multi-exec an array of them',
  );
}
