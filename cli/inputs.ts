/** The input of a prediction, from `-i name=value` and `--input-json`, as the model's schema wants it. */
import { openAsBlob, readFileSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import * as z from "zod";
import type { Client } from "./client.ts";
import { CliError, exitCodes, messageOf } from "./errors.ts";
import { readStdin } from "./io.ts";
import type { Io } from "./io.ts";

/** What one request carries. */
const UPLOAD_BYTES = 100_000_000;

const ObjectSchema = z.record(z.string(), z.unknown(), { error: "must be a JSON object" });
const PropertySchema = z.looseObject({ type: z.string().optional() });
const InputSchema = z.looseObject({
  components: z.looseObject({
    schemas: z.looseObject({ Input: z.looseObject({ properties: z.record(z.string(), PropertySchema).optional() }) }),
  }),
});
const UploadedSchema = z.object({ urls: z.object({ get: z.string() }) });

export type InputOptions = {
  /** `name=value`, `name=@file`. */
  pairs: readonly string[];
  /** JSON, `@file`, or `-` for standard input. */
  json: string | undefined;
  /** The OpenAPI document of the version, as far as it is known. */
  schema: unknown;
};

/** Pairs come before what the JSON says. Files are uploaded, so that the model sees their names. */
export async function readInput(io: Io, client: Client, options: InputOptions): Promise<Record<string, unknown>> {
  const input: Record<string, unknown> =
    options.json === undefined ? {} : await readJson(io, options.json, "the input");
  for (const pair of options.pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw new CliError(`-i ${pair}: say name=value, or name=@file`, exitCodes.usage);
    const name = pair.slice(0, at);
    const value = pair.slice(at + 1);
    input[name] = value.startsWith("@")
      ? await readFileInput(client, resolve(io.cwd, value.slice(1)))
      : valueOf(value, typeOf(options.schema, name));
  }
  return input;
}

/** A JSON object that was said, or lies in `@file`, or comes by `-`, standard input. `what` it is, for errors. */
export function readJson(io: Io, said: string, what: string): Promise<Record<string, unknown>> {
  return readJsonOf(ObjectSchema, io, said, what);
}

/** The same of another form than an object. */
export async function readJsonOf<T>(schema: z.ZodType<T>, io: Io, said: string, what: string): Promise<T> {
  try {
    const text =
      said === "-"
        ? await readStdin(io)
        : said.startsWith("@")
          ? readFileSync(resolve(io.cwd, said.slice(1)), "utf8")
          : said;
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : messageOf(error);
    throw new CliError(`${what} can't be read: ${why}`, exitCodes.usage);
  }
}

/** Null while the schema isn't known, or says nothing of it. */
function typeOf(schema: unknown, name: string): string | null {
  const parsed = InputSchema.safeParse(schema);
  return parsed.success ? (parsed.data.components.schemas.Input.properties?.[name]?.type ?? null) : null;
}

/** A text where the schema says so; else what it is as JSON, or a text where it is none. */
function valueOf(text: string, type: string | null): unknown {
  if (type === "string") return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

async function readFileInput(client: Client, path: string): Promise<string> {
  let bytes: number;
  try {
    bytes = statSync(path).size;
  } catch (error) {
    throw new CliError(`${path} can't be read: ${messageOf(error)}`, exitCodes.usage);
  }
  if (bytes > UPLOAD_BYTES)
    throw new CliError(
      `${path} has more than 100 MB`,
      exitCodes.usage,
      "Upload it in parts (docs/files.md) and give its URL.",
    );
  const form = new FormData();
  form.set("content", await openAsBlob(path), basename(path));
  const uploaded = await client.api(UploadedSchema, "POST", "/files", { body: form });
  return uploaded.urls.get;
}
