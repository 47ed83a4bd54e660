/**
 * The one table of errors. Every refusal that a client, a pool or a tool can see has a code here, with its HTTP
 * status, a short title, what it comes from, and what to do about it. Dialects only change the shape of the envelope;
 * docs/errors.md and `/docs/errors` are made from it.
 */
import { budgetErrors } from "./budget-errors.ts";
import { pluginErrors } from "./plugin-errors.ts";

export const errorTable = {
  unauthenticated: {
    status: 401,
    title: "Unauthenticated",
    cause: "No credential, or one that is unknown, expired, revoked or not of this kind.",
    remedy:
      "Send `Authorization: Bearer <key>`: an API key that is valid here for `/v1`, the operator's key for `/admin/v1`, a token of their own for pools and providers.",
  },
  forbidden: {
    status: 403,
    title: "Forbidden",
    cause: "The credential is valid and doesn't cover this call, or a signed link is wrong or has expired.",
    remedy: "Use a key or token whose scopes cover this call.",
  },
  priority_forbidden: {
    status: 403,
    title: "The key may not ask for this priority",
    cause: "The prediction asks for a higher `priority` than the `priority` of the API key.",
    remedy: "Ask for a lower priority, or have the operator raise the key's: `PATCH /admin/v1/keys/{id}`.",
  },
  model_forbidden: {
    status: 403,
    title: "The key may not use this model",
    cause: "The API key, or the token, names the models that it may use, and this one is not among them.",
    remedy: "Use another key, or have the operator add the model to the key's: `PATCH /admin/v1/keys/{id}`.",
  },
  not_found: {
    status: 404,
    title: "Not found",
    cause: "There is nothing at this address, or it isn't the caller's: the two are not told apart.",
    remedy: "Check the address and the id.",
  },
  method_not_allowed: {
    status: 405,
    title: "Method not allowed",
    cause: "The address takes other methods.",
    remedy: "Use a method that the `Allow` header names.",
  },
  invalid_request: {
    status: 400,
    title: "Invalid request",
    cause: "A header, a query parameter, a cursor or the form of the body can't be meant.",
    remedy: "Mend what `detail` names and send the request again.",
  },
  invalid_json: {
    status: 400,
    title: "Body is not JSON",
    cause: "The body is empty, isn't JSON, or isn't UTF-8.",
    remedy: "Send a JSON body in UTF-8 with `Content-Type: application/json`.",
  },
  invalid_input: {
    status: 422,
    title: "Input validation failed",
    cause: "A field of the body is missing or wrong, by this API's schema or by the model's.",
    remedy:
      "Mend the fields that `invalid_fields` names; the model's schema says what an input takes, `/openapi.json` what all else takes.",
  },
  model_not_found: {
    status: 404,
    title: "Model not found",
    cause: "There is no such model, or it is another account's private one.",
    remedy: "List the models with `GET /v1/models`; a pool must have offered it once.",
  },
  version_not_found: {
    status: 422,
    title: "Invalid version or not permitted",
    cause: "There is no such version, the model has none yet, or the key may not use it.",
    remedy: "List the versions with `GET /v1/models/{owner}/{name}/versions`.",
  },
  version_deleted: {
    status: 404,
    title: "The version was deleted",
    cause: "The model's owner deleted this version; what it had accepted before ran to its end.",
    remedy: "Name another version or an alias, such as `owner/name:latest`; move a deployment that names it.",
  },
  version_pending: {
    status: 409,
    title: "The version is not live",
    cause: "The version was pushed, and no pool has set it up yet, or none could; `detail` says which.",
    remedy:
      "Wait until `edgeplane.status` of the version is `live`, or name another version; if it is `failed`, mend what its log says and push again.",
  },
  bundle_incomplete: {
    status: 409,
    title: "Chunks of the push are missing",
    cause: "The list of files names chunks that are not here; `detail` names the first of them.",
    remedy: "Ask `POST …/chunks/missing` which are missing, send them, and register the version again.",
  },
  chunk_mismatch: {
    status: 422,
    title: "The content of a chunk is not what its name says",
    cause: "A chunk's SHA-256 or its size is another than the address, the frame or the list of files says.",
    remedy: "Read the file again, since it may have changed meanwhile, and send what it has now.",
  },
  already_exists: {
    status: 409,
    title: "Already exists",
    cause: "The name is taken.",
    remedy: "Choose another name, or change what is there.",
  },
  conflict: {
    status: 409,
    title: "Conflict",
    cause: "What is there now doesn't allow the change.",
    remedy: "Bring about first what `detail` names.",
  },
  idempotency_key_reused: {
    status: 422,
    title: "Idempotency key reused with another payload",
    cause: "The key, or the id of the `PUT`, stands for another payload already.",
    remedy: "Send the same payload with the same key, or choose a new key.",
  },
  length_required: {
    status: 411,
    title: "Length required",
    cause: "The body's size isn't known: it came without `Content-Length`, or compressed.",
    remedy: "Send the body as it is with a `Content-Length`, not chunked and not compressed.",
  },
  upload_incomplete: {
    status: 409,
    title: "Parts of the upload are missing",
    cause: "An upload was completed before all of its parts had arrived.",
    remedy: "Send the parts that `detail` names, then complete the upload again.",
  },
  checksum_mismatch: {
    status: 422,
    title: "The content is not what its checksum says",
    cause: "The bytes that arrived don't have the checksum that was sent with them.",
    remedy: "Send it again; if it stays, compute the checksum of the bytes that are sent.",
  },
  range_not_satisfiable: {
    status: 416,
    title: "Range not satisfiable",
    cause: "`Range` asks for bytes behind the end of the content.",
    remedy: "Ask for bytes that are there: `Content-Range` names the size.",
  },
  payload_too_large: {
    status: 413,
    title: "Payload too large",
    cause: "The body is over the limit that `detail` names.",
    remedy: "Send less, or put the data behind a URL and send that.",
  },
  queue_full: {
    status: 429,
    title: "Queue full",
    cause:
      "The account has as many waiting, or unfinished, predictions in one lane as it may (100,000 waiting, or what the `queue` plugin says).",
    remedy: "Wait until some have started, or cancel some; `Retry-After` says when to try again.",
  },
  lane_full: {
    status: 429,
    title: "Too many wait for this model",
    cause: "So many predictions of all accounts wait for the model that the `queue` plugin lets in no more.",
    remedy: "Wait for the time that `Retry-After` names: so long the excess needs to start.",
  },
  wait_too_long: {
    status: 429,
    title: "The wait would be too long",
    cause: "The prediction would wait longer than the `queue` plugin, or its own `start_timeout`, allows.",
    remedy: "Wait for the time that `Retry-After` names, or ask for a higher priority if the key may.",
  },
  quota_exceeded: {
    status: 403,
    title: "The account's quota is used up",
    cause: "The account has as many of these, or as many bytes, as it may have; `detail` names the quota.",
    remedy: "Delete some, or have the operator raise the quota: it is a setting of the deployment.",
  },
  unsupported_encoding: {
    status: 415,
    title: "Unsupported content encoding",
    cause: "`Content-Encoding` names a coding that is not decoded here, or several.",
    remedy: "Send the body as it is, or coded once with one that `Accept-Encoding` of the answer names.",
  },
  rate_limited: {
    status: 429,
    title: "Too many requests",
    cause: "A limit is used up: one that a plugin sets, or of consumer instances or open streams of a log.",
    remedy: "Wait for the time that `Retry-After` names.",
  },
  too_many_bytes: {
    status: 429,
    title: "Too many bytes at once",
    cause:
      "The bodies of the account's requests under way, and answers that it hasn't read, take as much memory as they may (`ACCOUNT_BODY_BYTES`).",
    remedy:
      "Read answers or close them; send fewer large bodies at a time, or put what is large behind a URL (`POST /v1/files`).",
  },
  key_limit_reached: {
    status: 429,
    title: "The API key's limit is reached",
    cause: "A limit of the `rate-limit` plugin on what one API key may use; `detail` names it.",
    remedy: "Wait for the time that `Retry-After` names; `RateLimit` of every answer says what is left.",
  },
  account_limit_reached: {
    status: 429,
    title: "The account's limit is reached",
    cause: "A limit of the `rate-limit` plugin on what all keys of an account may use together; `detail` names it.",
    remedy: "Wait for the time that `Retry-After` names; `RateLimit` of every answer says what is left.",
  },
  model_limit_reached: {
    status: 429,
    title: "The model's limit is reached",
    cause: "A limit of the `rate-limit` plugin on what all callers may use of one model together; `detail` names it.",
    remedy: "Wait for the time that `Retry-After` names; the limit is not yours alone.",
  },
  address_limit_reached: {
    status: 429,
    title: "The limit of your address is reached",
    cause: "A limit of the `rate-limit` plugin on what comes from one IP address; `detail` names it.",
    remedy: "Wait for the time that `Retry-After` names.",
  },
  gateway_limit_reached: {
    status: 429,
    title: "The gateway's limit is reached",
    cause: "A limit of the `rate-limit` plugin on what all callers may use together; `detail` names it.",
    remedy: "Wait for the time that `Retry-After` names; the limit is not yours alone.",
  },
  above_limit: {
    status: 403,
    title: "Larger than a limit allows at any time",
    cause: "The request alone is more than a limit of the `rate-limit` plugin allows, however long one waits.",
    remedy: "Send less, or have the operator raise the limit that `detail` names.",
  },
  ...budgetErrors,
  too_many_streams: {
    status: 429,
    title: "Too many open streams",
    cause: "The account has as many live streams open as it may (`ACCOUNT_STREAMS` of the deployment).",
    remedy: "Close streams that nobody reads, or poll the prediction.",
  },
  not_implemented: {
    status: 501,
    title: "Not implemented",
    cause: "The call is part of Replicate's API and is not offered here.",
    remedy: "This call of the dialect is not offered here; docs/api.md lists those that are.",
  },
  internal: {
    status: 500,
    title: "Internal error",
    cause: "A fault of the gateway; the operator's log has it under the request's id.",
    remedy: "Try again; if it stays, give the operator the request id.",
  },
  unavailable: {
    status: 503,
    title: "Unavailable",
    cause: "A part of the gateway is restarting or overloaded.",
    remedy: "Try again in a moment.",
  },
  ...pluginErrors,
  topic_not_found: {
    status: 404,
    title: "Unknown topic or partition",
    cause: "The topic, or a partition of that number, isn't there.",
    remedy: "Create the topic, or check its name and the partition's number.",
  },
  topic_forbidden: {
    status: 403,
    title: "No right to this topic",
    cause: "None of the credentials' prefixes covers the topic.",
    remedy: "Use credentials whose prefixes cover the topic.",
  },
  offset_out_of_range: {
    status: 400,
    title: "Offset out of range",
    cause: "The record is not there yet, or its retention is over.",
    remedy: "Ask `/offsets/earliest` and `/offsets/latest` what is there.",
  },
  unknown_member: {
    status: 404,
    title: "Unknown consumer instance",
    cause: "The instance never consumed, expired, or was deleted.",
    remedy: "Consume first; an idle instance expires.",
  },
  deadline_before_start: {
    status: 504,
    title: "The deadline passed before the prediction started",
    cause:
      "No pool started the prediction in the time that it had to start, or in time to end by its deadline (models with `dropLate`); it ended as `aborted`.",
    remedy: "Allow more time, or add pools that serve this lane.",
  },
  timed_out: {
    status: 504,
    title: "The prediction ran out of time",
    cause: "The prediction took longer than it may in all.",
    remedy: "Allow more time in the request or in the model's settings.",
  },
  interrupted: {
    status: 500,
    title: "The prediction was interrupted after output had left",
    cause:
      "An attempt was lost after a client had seen output, and the model doesn't declare that it would yield the same again.",
    remedy: "Run it again.",
  },
  model_error: {
    status: 500,
    title: "The model raised an error",
    cause: "The model's own code raised.",
    remedy: "The message and the logs of the prediction say what the model said.",
  },
  model_crashed: {
    status: 500,
    title: "The model process died",
    cause: "The process that ran the prediction died under it: a crash, or no memory left.",
    remedy: "Look at the logs of the prediction; an input that needs too much memory does this.",
  },
  model_unresponsive: {
    status: 500,
    title: "The model process stopped responding",
    cause: "The process that ran the prediction didn't answer any more and was ended.",
    remedy: "Look at the logs of the prediction.",
  },
  disk_full: {
    status: 500,
    title: "A host's disk was full",
    cause: "Wherever the prediction ran, the disk of the host was full before it had ended.",
    remedy: "Ask for a smaller output. The operator finds what the disk holds at `/status` of the pool's local port.",
  },
  setup_failed: {
    status: 500,
    title: "The model could not be set up",
    cause: "The model's `setup` raised, or its packages could not be installed.",
    remedy: "The operator finds the traceback at `/models` of the pool's local port, and in its log.",
  },
  attempts_exhausted: {
    status: 500,
    title: "Every attempt was lost",
    cause: "Three starts of the prediction were lost without a word from the pool.",
    remedy: "The input probably kills the process that runs it; look at the pool's log.",
  },
  undeliverable: {
    status: 500,
    title: "The log refused the job",
    cause: "The log refuses the record of this prediction for good.",
    remedy: "The operator finds the refusal in the lane's log.",
  },
} as const satisfies Record<string, { status: number; title: string; cause: string; remedy: string }>;

const DEFAULT_RETRY_MS = 1000;

export type ErrorCode = keyof typeof errorTable;

export type InvalidField = { field: string; description: string };

export type ErrorOptions = {
  invalidFields?: InvalidField[];
  retryAfterMs?: number;
  headers?: Record<string, string>;
  cause?: unknown;
};

/** An error that may be shown: its code is in the table, its `message` is written for the caller. */
export class EdgeplaneError extends Error {
  override readonly name = "EdgeplaneError";
  readonly code: ErrorCode;
  readonly options: ErrorOptions;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.options = options;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  /**
   * What `Retry-After` says of it, in whole seconds: always something where another try may do better. Null for all
   * else.
   */
  get retryAfterS(): number | null {
    const ms = this.options.retryAfterMs ?? (this.status === 429 || this.status === 503 ? DEFAULT_RETRY_MS : null);
    return ms === null ? null : Math.max(1, Math.ceil(ms / 1000));
  }
}
