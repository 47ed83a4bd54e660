/**
 * Receives a file in one request: a form, as Replicate's clients send it, or the bytes alone. Neither is held in
 * memory.
 */
import type { ZodOpenApiRequestBodyObject } from "zod-openapi";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";
import type { Env } from "../../env.ts";
import { contentKey, newFileId } from "../../registry/files.ts";
import type { NewFile } from "../../registry/files.ts";
import { collect } from "../../storage/collect.ts";
import { MIN_PART_BYTES } from "../../storage/uploads.ts";
import { deleteUploadRows } from "../../storage/upload-rows.ts";
import { piecesOf, transfer } from "../../storage/transfer.ts";
import { refuseLoneSurrogates } from "../body.ts";
import { openHold } from "../body-budget.ts";
import type { BodyHold } from "../body-budget.ts";
import { fieldText, formBoundary, readForm, skip } from "../form-stream.ts";
import type { FormField } from "../form-stream.ts";
import { MAX_REQUEST_BYTES, announcedBytes } from "../request-size.ts";
import { MEDIA_TYPE } from "../serve-blob.ts";

export const MAX_NAME_CHARS = 255;
export const DEFAULT_TYPE = "application/octet-stream";
const MAX_METADATA_BYTES = 64 * 1024;
/** Of a file that came with none, or an empty one. */
const DEFAULT_NAME = "file";
/** Of the fields that say a file's name and its type. */
const MAX_FIELD_BYTES = 1024;
/** What surrounds the content in a form. */
const FORM_OVERHEAD_BYTES = 128 * 1024;

/** What of an upload is in memory beside a part of it, and at most where nobody knows its length. */
const READING_BYTES = 2 * 1024 * 1024;
const COLLECTING_BYTES = MIN_PART_BYTES + READING_BYTES;
/** How long an upload waits, unread, for room beside others, and how often it looks. */
const ROOM_WAIT_MS = 60_000;
const ROOM_LOOK_MS = 50;

const METADATA_PROBLEM = "must be a JSON object of at most 64 KiB";
const NAME_PROBLEM = `must have 1 to ${MAX_NAME_CHARS} characters`;
const TYPE_PROBLEM = "must be a media type, such as image/png";

/** A JSON object that is kept with a file. */
export const MetadataSchema = z
  .record(
    z.string(),
    z.custom<Json>(() => true),
  )
  .refine((value) => JSON.stringify(value).length <= MAX_METADATA_BYTES, METADATA_PROBLEM)
  .meta({ override: { type: "object" } });

export const uploadBody: ZodOpenApiRequestBodyObject = {
  // A file may be empty, and then be sent as no body with `?name=`.
  required: false,
  content: {
    "multipart/form-data": {
      schema: z.object({
        content: z.file().meta({ description: "The file, with its name and type." }),
        metadata: MetadataSchema.optional().meta({ description: "A JSON object, kept with the file." }),
        filename: z.string().min(1).max(MAX_NAME_CHARS).optional().meta({
          description: "The file's name, in place of the one that `content` comes with.",
        }),
        type: z.string().optional().meta({ description: "Its type, in place of the one that `content` comes with." }),
      }),
      encoding: { metadata: { contentType: "application/json" } },
    },
    "*/*": { schema: { type: "string", format: "binary", description: "The file itself, with `?name=`." } },
  },
};

/** Stores the content of a file of `accountId`; the caller notes the file. `name` is that of a body that is no form. */
export async function receiveFile(
  env: Env,
  accountId: string,
  request: Request,
  name: string | undefined,
): Promise<NewFile> {
  const announced = announcedBytes(request);
  if (announced !== null && announced > MAX_REQUEST_BYTES + FORM_OVERHEAD_BYTES) throw tooLarge();
  const boundary = formBoundary(request.headers.get("content-type"));
  if (boundary === null && name !== undefined && announced !== null) return receiveBytes(env, request, name, announced);
  if (boundary !== null || name !== undefined) {
    const hold = await roomFor(env, accountId, announced);
    try {
      if (boundary !== null) return await receiveForm(env, accountId, request, boundary, hold);
      const contentType = request.headers.get("content-type") ?? DEFAULT_TYPE;
      return await store(env, accountId, counted(request.body, hold), name ?? DEFAULT_NAME, contentType);
    } finally {
      hold.release();
    }
  }
  const detail = "Send `multipart/form-data` with the file in the field `content`, or the file alone with `?name=`.";
  throw new EdgeplaneError("invalid_request", detail);
}

/**
 * Room in memory for a content that is collected a part at a time. Where the account's other files, or all bodies, have
 * as much as they may, it is not read yet. Throws when that lasts.
 */
async function roomFor(env: Env, accountId: string, announced: number | null): Promise<BodyHold> {
  // Files may take minutes to come: the account's other bodies have their share all the same.
  const hold = openHold(env, `files of ${accountId}`);
  const bytes = Math.min(COLLECTING_BYTES, (announced ?? COLLECTING_BYTES) + READING_BYTES);
  for (const giveUpAt = Date.now() + ROOM_WAIT_MS; ;) {
    try {
      hold.resize(bytes);
      return hold;
    } catch (error) {
      if (Date.now() >= giveUpAt) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, ROOM_LOOK_MS));
  }
}

/** What a form has said so far; its fields come in any order. */
type Given = { file: NewFile | null; name: string | null; contentType: string | null; metadata: string | null };

async function receiveForm(
  env: Env,
  accountId: string,
  request: Request,
  boundary: string,
  hold: BodyHold,
): Promise<NewFile> {
  const given: Given = { file: null, name: null, contentType: null, metadata: "" };
  const read = async (field: FormField, content: AsyncIterable<Uint8Array>): Promise<void> => {
    const name = given.name ?? field.fileName;
    if (field.name === "content" && name !== null && given.file === null) {
      const contentType = given.contentType ?? field.contentType ?? DEFAULT_TYPE;
      given.file = await store(env, accountId, content, name.trim() === "" ? DEFAULT_NAME : name, contentType);
    } else if (field.name === "metadata") given.metadata = await fieldText(content, MAX_METADATA_BYTES);
    else if (field.name === "filename") given.name = nameOf(await fieldText(content, MAX_FIELD_BYTES));
    else if (field.name === "type") given.contentType = typeOf(await fieldText(content, MAX_FIELD_BYTES));
    else await skip(content);
  };
  try {
    await readForm(counted(request.body, hold), boundary, read);
    if (given.file === null) throw invalid("content", "must be a file");
    const { name, contentType } = given.file;
    const said = { name: given.name ?? name, contentType: given.contentType ?? contentType };
    const file = { ...given.file, ...said, metadata: parseMetadata(given.metadata) };
    return file.contentType === contentType ? file : await storeAgain(env, file);
  } catch (thrown) {
    if (given.file !== null) {
      await env.BLOBS.delete(contentKey(given.file.id));
      await deleteUploadRows(env.DB, given.file.id);
    }
    throw thrown;
  }
}

/** The bucket keeps the type with the content: where the form says it behind the content, that is stored again. */
async function storeAgain({ BLOBS }: Env, file: NewFile): Promise<NewFile> {
  const key = contentKey(file.id);
  const content = await BLOBS.get(key);
  if (content === null) throw new Error("a file that was just stored is gone");
  const { etag } = await BLOBS.put(key, content.body, { httpMetadata: { contentType: file.contentType } });
  return { ...file, etag };
}

async function receiveBytes(env: Env, request: Request, name: string, sizeBytes: number): Promise<NewFile> {
  const contentType = request.headers.get("content-type") ?? DEFAULT_TYPE;
  const file = named(name, contentType);
  const { stored, sha256 } = await transfer(request.body, sizeBytes, (content) =>
    env.BLOBS.put(contentKey(file.id), content, { httpMetadata: { contentType: file.contentType } }),
  );
  return { ...file, metadata: {}, sizeBytes, sha256, etag: stored.etag };
}

async function store(
  env: Env,
  accountId: string,
  content: AsyncIterable<Uint8Array>,
  name: string,
  contentType: string,
): Promise<NewFile> {
  const file = { ...named(name, contentType), metadata: {} };
  return { ...file, ...(await collect(env, { ...file, accountId, key: contentKey(file.id) }, content)) };
}

function named(name: string, contentType: string): Pick<NewFile, "id" | "name" | "contentType"> {
  return {
    id: newFileId(),
    name: name.slice(0, MAX_NAME_CHARS).toWellFormed(),
    contentType: (contentType === "" ? DEFAULT_TYPE : contentType).slice(0, MAX_NAME_CHARS),
  };
}

/** The pieces of a body of at most what a request may carry. */
async function* counted(body: ReadableStream<Uint8Array> | null, hold: BodyHold): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  let bytes = 0;
  for await (const piece of piecesOf(body)) {
    bytes += piece.length;
    hold.touch();
    if (bytes > MAX_REQUEST_BYTES + FORM_OVERHEAD_BYTES) throw tooLarge();
    yield piece;
  }
}

function nameOf(text: string | null): string {
  if (text !== null && text !== "" && text.length <= MAX_NAME_CHARS) return text;
  throw invalid("filename", NAME_PROBLEM);
}

function typeOf(text: string | null): string {
  if (text !== null && text.length <= MAX_NAME_CHARS && MEDIA_TYPE.test(text)) return text;
  throw invalid("type", TYPE_PROBLEM);
}

function parseMetadata(text: string | null): Json {
  if (text === "") return {};
  let value: unknown = null;
  try {
    value = text === null ? null : JSON.parse(text);
  } catch {
    // Answered below, like a value of another kind.
  }
  const metadata = MetadataSchema.safeParse(value);
  if (!metadata.success) throw invalid("metadata", METADATA_PROBLEM);
  refuseLoneSurrogates(metadata.data, "metadata");
  return metadata.data;
}

function invalid(field: string, description: string): EdgeplaneError {
  return new EdgeplaneError("invalid_input", `- ${field}: ${description}\n`, {
    invalidFields: [{ field, description }],
  });
}

function tooLarge(): EdgeplaneError {
  const detail = `A request carries a file of at most ${MAX_REQUEST_BYTES} bytes. A larger one goes up in parts: begin with \`POST /v1/uploads\`.`;
  return new EdgeplaneError("payload_too_large", detail);
}
