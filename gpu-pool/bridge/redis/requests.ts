/** The dialect's requests: a command as a JSON array, several of them, or a command as a path. */
import * as z from "zod";
import { EdgeplaneError } from "../../../src/contract/errors.ts";
import { safeParse } from "../../../src/contract/safe-parse.ts";
import { parseJson } from "../http.ts";
import type { Request } from "../http.ts";

const ArgumentSchema = z
  .union([z.string(), z.number(), z.boolean(), z.null(), z.record(z.string(), z.unknown()), z.array(z.unknown())])
  .transform((value) =>
    typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value),
  );
const CommandSchema = z.array(ArgumentSchema).min(1).max(1_000_000);

export type Batch = { kind: "single" | "pipeline" | "multi-exec"; commands: string[][] };

/** Reads a request's commands. Throws `invalid_request`, `invalid_json`. */
export function readCommands(request: Request, maxCommands: number): Batch {
  const [first, ...rest] = request.segments;
  if (first === undefined) return { kind: "single", commands: [parse(CommandSchema, parseJson(request.body))] };
  if (rest.length === 0 && (first === "pipeline" || first === "multi-exec")) {
    const commands = parse(z.array(CommandSchema), parseJson(request.body));
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

function parse<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = safeParse(schema, value);
  if (result.success) return result.data;
  throw new EdgeplaneError(
    "invalid_request",
    'ERR send a command as a JSON array, e.g. ["SET","key","value"]; to /pipeline and /multi-exec an array of them',
  );
}
