/**
 * Turns what the runtime reports into events. Most become one at once; an output with files or of over 256 KiB waits
 * for its upload, and then everything else of that claim waits behind it, so that the order stays.
 */
import { readFile, rm } from "node:fs/promises";
import type { ClaimRef } from "../../src/contract/channel.ts";
import type { Json } from "../../src/contract/prediction.ts";
import type { AttemptUsage, UsageReport } from "../../src/contract/usage.ts";
import type { AttemptMeter } from "../metering/attempt-meter.ts";
import type { Produced } from "../runtime/prediction.ts";
import { dropConfined, openConfined } from "../transport/confined-file.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import { parseJson } from "../transport/json.ts";
import type { EventBody } from "./claim-outbox.ts";
import type { Delivery } from "./delivery.ts";
import type { UploadBacklog } from "./upload-backlog.ts";
import { INLINE_OUTPUT_BYTES, leftFiles } from "./uploads.ts";
import type { Uploads } from "./uploads.ts";

type Metrics = Record<string, Json>;
type Measured = { usage?: AttemptUsage };
type Released = Extract<EventBody, { type: "released" }>["reason"];
type FailureKind = Extract<EventBody, { type: "failed" }>["kind"];

export class EventReporter {
  readonly #delivery: Delivery;
  readonly #uploads: Uploads;
  readonly #backlog: UploadBacklog;
  readonly #meter: AttemptMeter;
  /** What runs took whose end waits for its upload. */
  readonly #usages = new Map<string, Measured>();
  /** The end of each claim's line of uploads. */
  readonly #tails = new Map<string, Promise<void>>();

  constructor(delivery: Delivery, uploads: Uploads, backlog: UploadBacklog, meter: AttemptMeter) {
    this.#delivery = delivery;
    this.#uploads = uploads;
    this.#backlog = backlog;
    this.#meter = meter;
  }

  /** How many claims wait for an upload. */
  get uploading(): number {
    return this.#tails.size;
  }

  /** The host ends before they are done: what waits for its upload is handed back, and runs elsewhere. */
  giveUpUploads(): void {
    for (const token of this.#tails.keys())
      this.#delivery.add(token, { type: "released", reason: "drain", ...this.#untold(token) });
  }

  starting(claim: ClaimRef): void {
    this.#add(claim, { type: "starting" });
  }

  log(claim: ClaimRef, text: string): void {
    this.#add(claim, { type: "log", text }, text.length);
  }

  metric(claim: ClaimRef, metrics: Metrics): void {
    this.#meter.recorded(claim.token, metrics);
    this.#add(claim, { type: "metric", metrics });
  }

  chunk(claim: ClaimRef, chunk: Produced): void {
    if (isPlain(chunk)) this.#add(claim, { type: "output", chunk: chunk.value }, chunk.sizeBytes);
    else {
      this.#upload(claim, chunk, async () => {
        const value = await this.#withUrls(claim, chunk);
        const sizeBytes = chunk.file === undefined ? chunk.sizeBytes : JSON.stringify(value).length;
        this.#delivery.add(claim.token, { type: "output", chunk: value }, sizeBytes);
      });
    }
  }

  succeeded(claim: ClaimRef, output: Produced, metrics: Metrics): void {
    const measured = this.#measured(claim.token);
    if (isPlain(output) && output.sizeBytes <= INLINE_OUTPUT_BYTES) {
      this.#add(claim, { type: "succeeded", output: output.value, metrics, ...measured }, output.sizeBytes);
      this.#ended(claim);
      return;
    }
    this.#usages.set(claim.token, measured);
    this.#upload(claim, output, async () => {
      const value = await this.#withUrls(claim, output);
      const text = JSON.stringify(value);
      const body: EventBody =
        text.length <= INLINE_OUTPUT_BYTES
          ? { type: "succeeded", output: value, metrics, ...measured }
          : { type: "succeeded", outputBlob: await this.#uploads.output(claim, text), metrics, ...measured };
      this.#delivery.add(claim.token, body, Math.min(text.length, INLINE_OUTPUT_BYTES));
    });
    this.#ended(claim);
  }

  /** Deletes the output's files, after earlier uploads of the claim, which may need the same ones. */
  untold(claim: ClaimRef, output: Produced): void {
    if (!isPlain(output)) this.#upload(claim, output, () => Promise.resolve());
  }

  failed(claim: ClaimRef, kind: FailureKind, code: string, message: string, metrics?: Metrics): void {
    const body = { type: "failed", kind, error: { code, message }, ...this.#measured(claim.token) } as const;
    this.#add(claim, metrics === undefined ? body : { ...body, metrics }, message.length);
    this.#ended(claim);
  }

  released(claim: ClaimRef, reason: Released, problem?: string): void {
    const body = { type: "released", reason, ...this.#measured(claim.token) } as const;
    this.#add(claim, problem === undefined ? body : { ...body, problem });
    this.#ended(claim);
  }

  again(claim: ClaimRef, why: "bisected" | "lost"): void {
    this.#report(claim, why);
  }

  forget(claim: ClaimRef): void {
    this.#report(claim, "superseded");
    this.#delivery.forget(claim.token);
    this.#ended(claim);
  }

  /** Its attempt ends: what that took. */
  #measured(token: string): Measured {
    const usage = this.#meter.take(token);
    return usage === undefined ? {} : { usage };
  }

  /** What its run took, which may be over. */
  #untold(token: string): Measured {
    return this.#usages.get(token) ?? this.#measured(token);
  }

  /** Of an attempt of which no event of its claim tells. */
  #report({ token }: ClaimRef, outcome: UsageReport["outcome"]): void {
    const report = this.#meter.report(token, outcome);
    if (report !== undefined) this.#delivery.report(report);
  }

  #ended(claim: ClaimRef): void {
    const tail = this.#tails.get(claim.token) ?? Promise.resolve();
    void tail.then(() => this.#uploads.forget(claim));
  }

  #add(claim: ClaimRef, body: EventBody, sizeBytes?: number): void {
    if (this.#tails.has(claim.token)) this.#later(claim, async () => this.#delivery.add(claim.token, body, sizeBytes));
    else this.#delivery.add(claim.token, body, sizeBytes);
  }

  /** What waits for its upload is counted from now on, wherever in the line of its claim it stands. */
  #upload(claim: ClaimRef, produced: Produced, step: () => Promise<void>): void {
    const { file, sizeBytes, ...origin } = produced;
    const named = produced.mentionsFile ? leftFiles(produced.value, origin) : [];
    const files = file === undefined ? named : [file];
    const waiting = this.#backlog.add(
      files,
      file === undefined ? sizeBytes : 0,
      origin.isConfined ? origin.scratchDir : null,
    );
    this.#later(claim, async () => step().finally(async () => this.#backlog.drop(waiting)));
  }

  #later(claim: ClaimRef, step: () => Promise<void>): void {
    const before = this.#tails.get(claim.token) ?? Promise.resolve();
    const tail = before.then(step).catch((error: unknown) => this.#uploadFailed(claim, error));
    this.#tails.set(claim.token, tail);
    void tail.then(() => {
      if (this.#tails.get(claim.token) !== tail) return;
      this.#tails.delete(claim.token);
      this.#usages.delete(claim.token);
    });
  }

  /** A token that may not upload any more is nobody's; any other failure is told instead of the output. */
  #uploadFailed(claim: ClaimRef, error: unknown): void {
    if (error instanceof StatusError && [403, 404, 409, 410].includes(error.status)) {
      this.#report(claim, "superseded");
      this.#delivery.forget(claim.token);
      return;
    }
    const message = `The output could not be uploaded: ${shown(error)}`;
    const body = { type: "failed", kind: "model", error: { code: "model_error", message } } as const;
    this.#delivery.add(claim.token, { ...body, ...this.#untold(claim.token) });
  }

  async #withUrls(claim: ClaimRef, produced: Produced): Promise<Json> {
    let { value, mentionsFile } = produced;
    if (produced.file !== undefined) {
      const text = await readAndDrop(produced.file, produced);
      value = parseJson(text);
      mentionsFile = text.includes('"$file"');
    }
    return mentionsFile ? this.#uploads.files(claim, value, produced) : value;
  }
}

async function readAndDrop(path: string, { scratchDir, isConfined }: Produced): Promise<string> {
  if (!isConfined) {
    const text = await readFile(path, "utf8");
    await rm(path, { force: true });
    return text;
  }
  const handle = await openConfined(path, scratchDir);
  try {
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
    await dropConfined(path, scratchDir);
  }
}

/** For the client: nothing of this host, nor of the claim. */
function shown(error: unknown): string {
  if (error instanceof StatusError) return `the edge answered ${error.status}`;
  if (error instanceof TransportError) return "the edge could not be reached";
  if (error instanceof Error && "syscall" in error && "code" in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
}

function isPlain(produced: Produced): boolean {
  return produced.file === undefined && !produced.mentionsFile;
}
