/**
 * Inputs on their way to a model process: a large one is fetched as a blob, URLs for file fields are downloaded, and
 * what does not fit in a frame goes by file. The child only ever sees `data:` URIs and paths that this module made.
 */
import { copyFileSync, existsSync, linkSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Json } from "../../src/contract/prediction.ts";
import { createBackoff } from "../scheduling/backoff.ts";
import { TransportError } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { parseJson } from "../transport/json.ts";
import type { RunMessage } from "./child-messages.ts";
import { download } from "./download.ts";
import type { DownloadRules } from "./download.ts";
import { FILE_ABOVE_BYTES } from "./frames.ts";
import type { Prediction } from "./prediction.ts";

const BLOB_TIMEOUT_MS = 300_000;
const BLOB_TRIES = 20;

type Schema = { [key: string]: Json };
type JsonObject = { [key: string]: Json };

export type InputOptions = {
  http: HttpClient;
  /** Where downloaded files go, a folder a claim. */
  inputsDir: string;
  download: DownloadRules;
};

/** Makes the `prepare` of a runner: null when nothing is to be waited for. Rejects with a message for the client. */
export function createPrepare(options: InputOptions): (prediction: Prediction, schema: Schema) => Promise<void> | null {
  const fieldsOf = new WeakMap<Schema, ReadonlySet<string>>();

  return (prediction, schema) => {
    let fields = fieldsOf.get(schema);
    if (fields === undefined) {
      fields = fileFields(schema);
      fieldsOf.set(schema, fields);
    }
    if (prediction.grant.inputBlob !== undefined) return prepareBlob(prediction, prediction.grant.inputBlob, fields);
    return prepareFiles(prediction, fields);
  };

  async function prepareBlob(prediction: Prediction, path: string, fields: ReadonlySet<string>): Promise<void> {
    const text = await fetchBlob(path);
    prediction.input = parseJson(text);
    prediction.inputBytes = text.length;
    await prepareFiles(prediction, fields);
  }

  async function fetchBlob(path: string): Promise<string> {
    const backoff = createBackoff({ firstMs: 100, capMs: 2000 });
    for (;;) {
      try {
        const { text, status } = await options.http.request({ method: "GET", path, timeoutMs: BLOB_TIMEOUT_MS });
        if (status === 200) return text;
        if (status < 500) throw new Error(`The input could not be fetched from the edge (status ${status}).`);
      } catch (error) {
        if (!(error instanceof TransportError) || backoff.failures >= BLOB_TRIES) throw error;
      }
      if (backoff.failures >= BLOB_TRIES) throw new Error("The input could not be fetched from the edge.");
      await new Promise((resolve) => setTimeout(resolve, backoff.nextMs()));
    }
  }

  function prepareFiles(prediction: Prediction, fields: ReadonlySet<string>): Promise<void> | null {
    const { input } = prediction;
    if (fields.size === 0 || !isObject(input)) return null;
    const tasks: (() => Promise<void>)[] = [];
    const fetched: JsonObject = { ...input };
    for (const field of fields) {
      const value = input[field];
      if (Array.isArray(value)) {
        const list = [...value];
        fetched[field] = list;
        value.forEach((item, index) => plan(prediction, field, item, tasks, (path) => (list[index] = path)));
      } else if (value !== undefined) {
        plan(prediction, field, value, tasks, (path) => (fetched[field] = path));
      }
    }
    if (tasks.length === 0) return null;
    prediction.input = fetched;
    return Promise.all(tasks.map((task) => task())).then(() => {});
  }

  function plan(
    prediction: Prediction,
    field: string,
    value: Json,
    tasks: (() => Promise<void>)[],
    put: (path: string) => void,
  ): void {
    if (typeof value !== "string" || value.startsWith("data:")) return;
    const number = tasks.length;
    tasks.push(async () => {
      if (!/^https?:\/\//i.test(value)) {
        throw new Error(`Input ${field}: a file is given as an http(s) URL or a data: URI.`);
      }
      const folder = join(options.inputsDir, prediction.ref.token);
      prediction.inputDir = folder;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      put(await download(value, folder, number, field, options.download));
    });
  }
}

/** The items of a `run`, each input inline where all of them fit in one frame, else in a file in `scratchDir`. */
export function runItems(predictions: readonly Prediction[], scratchDir: string): RunMessage["items"] {
  const inlineUpToBytes = FILE_ABOVE_BYTES / predictions.length;
  return predictions.map((prediction) => {
    const { ref, grant, inputBytes } = prediction;
    const input = linkInputs(prediction, scratchDir);
    const context: JsonObject = grant.traceparent === undefined ? {} : { traceparent: grant.traceparent };
    const item = { id: ref.id, stream: grant.stream, context };
    if (inputBytes <= inlineUpToBytes) return { ...item, input };
    const inputFile = join(scratchDir, `input-${ref.token}.json`);
    writeFileSync(inputFile, JSON.stringify(input), { mode: 0o600 });
    return { ...item, inputFile };
  });
}

/** A process opens files in its own scratch folder only: downloaded ones are linked there. Returns the input to send. */
function linkInputs(prediction: Prediction, scratchDir: string): Json {
  const { input, inputDir, ref } = prediction;
  if (inputDir === null || !isObject(input)) return input;
  const folder = join(scratchDir, `files-${ref.token}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  prediction.linkedDirs.push(folder);
  const linked = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(linked);
    if (typeof value !== "string" || dirname(value) !== inputDir) return value;
    const path = join(folder, basename(value));
    if (!existsSync(path)) linkOrCopy(value, path);
    return path;
  };
  return Object.fromEntries(Object.entries(input).map(([name, value]) => [name, linked(value)]));
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

/** Deletes a prediction's downloaded files. */
export function dropInputs(prediction: Prediction): void {
  if (prediction.inputDir === null) return;
  for (const folder of [prediction.inputDir, ...prediction.linkedDirs])
    rmSync(folder, { recursive: true, force: true });
}

/** The input's fields that are files in Cog's schema: strings of format `uri`, also in lists and optional ones. */
export function fileFields(schema: Schema): ReadonlySet<string> {
  const components = schema["components"];
  const schemas = isObject(components) ? components["schemas"] : undefined;
  const input = isObject(schemas) ? schemas["Input"] : undefined;
  const properties = isObject(input) ? input["properties"] : undefined;
  const fields = new Set<string>();
  if (isObject(properties)) {
    for (const [name, property] of Object.entries(properties)) if (mentionsUri(property)) fields.add(name);
  }
  return fields;
}

function mentionsUri(property: Json): boolean {
  if (Array.isArray(property)) return property.some(mentionsUri);
  if (!isObject(property)) return false;
  if (property["format"] === "uri") return true;
  return ["anyOf", "oneOf", "allOf", "items"].some((key) => mentionsUri(property[key] ?? null));
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
