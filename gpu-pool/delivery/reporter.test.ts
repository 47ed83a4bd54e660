import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { granted, runOf } from "../../test/unit/granted.ts";
import type { Json } from "../../src/contract/prediction.ts";
import { createMeter } from "../metering/meter.ts";
import type { SlotMessage } from "../runtime/child-messages.ts";
import { applyItemMessage } from "../runtime/item-messages.ts";
import { systemClock } from "../system-clock.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import type { EventBody } from "./claim-outbox.ts";
import type { Delivery } from "./delivery.ts";
import { EventReporter } from "./reporter.ts";
import { UploadBacklog } from "./upload-backlog.ts";
import type { Uploads } from "./uploads.ts";

const claim = { id: "p", token: "the-token" };
const noMeter = createMeter(systemClock).attempts;
const backlog = () => new UploadBacklog({ limitBytes: 1000, onChange() {} });
const missing = Object.assign(new Error("ENOENT: no such file, stat '/var/lib/edgeplane/x'"), {
  code: "ENOENT",
  syscall: "stat",
});

test.each([
  [new StatusError(413, "/pool/v1/blobs/p/the-token/1-x.png", "too large"), "the edge answered 413"],
  [new TransportError("/pool/v1/blobs/p/the-token/1-x.png did not answer"), "the edge could not be reached"],
  [missing, "ENOENT"],
])("an output that can't be uploaded fails without a word of the host or the claim: %s", async (error, expected) => {
  const added: EventBody[] = [];
  const delivery = { add: (_token: string, body: EventBody) => void added.push(body) } as unknown as Delivery;
  const uploads = { files: () => Promise.reject(error), forget() {} } as unknown as Uploads;
  const output = { value: {}, sizeBytes: 1, mentionsFile: true, scratchDir: "", fileMark: "", isConfined: false };
  new EventReporter(delivery, uploads, backlog(), noMeter).succeeded(claim, output, {});
  await expect.poll(() => added).toHaveLength(1);
  expect(added[0]).toMatchObject({
    type: "failed",
    error: { message: `The output could not be uploaded: ${expected}` },
  });
});

test("whatever ends a claim forgets its uploads", async () => {
  const output = { value: "a", sizeBytes: 1, mentionsFile: false, scratchDir: "", fileMark: "", isConfined: false };
  const ends: ((reporter: EventReporter) => void)[] = [
    (reporter) => reporter.succeeded(claim, output, {}),
    (reporter) => reporter.succeeded(claim, { ...output, mentionsFile: true }, {}),
    (reporter) => reporter.failed(claim, "model", "model_error", "no"),
    (reporter) => reporter.released(claim, "drain"),
    (reporter) => reporter.forget(claim),
  ];
  for (const end of ends) {
    const forgotten: string[] = [];
    const delivery = { add() {}, forget() {} } as unknown as Delivery;
    const uploads = { files: async () => "a", forget: ({ token }: { token: string }) => void forgotten.push(token) };
    end(new EventReporter(delivery, uploads as unknown as Uploads, backlog(), noMeter));
    await expect.poll(() => forgotten, { message: String(end) }).toEqual(["the-token"]);
  }
});

test("a value that is nested too deeply to be walked through harms nobody but its own prediction, and its files go", async () => {
  const scratchDir = mkdtempSync(join(tmpdir(), "edgeplane-reporter-"));
  onTestFinished(() => rmSync(scratchDir, { recursive: true }));
  const file = join(scratchDir, "output.png");
  writeFileSync(file, "made");
  let value: Json = { $file: file, mediaType: "image/png", mark: "mine" };
  for (let depth = 0; depth < 100_000; depth += 1) value = [value];
  const added: EventBody[] = [];
  const delivery = { add: (_token: string, body: EventBody) => void added.push(body) } as unknown as Delivery;
  const uploads = { files: () => Promise.reject(new RangeError("too deep")), forget() {} } as unknown as Uploads;
  const output = {
    value,
    sizeBytes: 300_000,
    mentionsFile: true,
    scratchDir,
    fileMark: "mine",
    isConfined: false,
  };
  new EventReporter(delivery, uploads, backlog(), noMeter).succeeded(claim, output, {});
  await expect.poll(() => added).toMatchObject([{ type: "failed" }]);
  await expect.poll(() => existsSync(file)).toBe(false);
});

test("what a run makes after its time was up is deleted, once what it made before is uploaded", async () => {
  const scratchDir = mkdtempSync(join(tmpdir(), "edgeplane-reporter-"));
  onTestFinished(() => rmSync(scratchDir, { recursive: true }));
  const files = ["before.png", "after.png"].map((name) => join(scratchDir, name));
  for (const file of files) writeFileSync(file, "made");
  const added: EventBody[] = [];
  const delivery = { add: (_token: string, body: EventBody) => void added.push(body) } as unknown as Delivery;
  const uploaded = Promise.withResolvers<string>();
  const uploads = { files: () => uploaded.promise, forget() {} } as unknown as Uploads;
  const report = new EventReporter(delivery, uploads, backlog(), noMeter);
  const late = { ...granted(claim), ending: "timed_out" as const };
  const item = runOf([late]).item(claim.token);
  if (item === undefined) throw new Error("it has no such item");
  const origin = { scratchDir, fileMark: "mine", isConfined: false };
  const context = { report, origin, runLimitMs: null, nowMs: 0, meter: createMeter(systemClock).runs };
  const apply = (message: SlotMessage): void => {
    applyItemMessage(item, message, { value: null, sizeBytes: 1, mentionsFile: true }, context);
  };
  const marked = files.map((file) => ({ $file: file, mediaType: "image/png", mark: "mine" }));
  apply({ type: "output", id: claim.token, chunk: marked[0] ?? null });
  apply({ type: "done", id: claim.token, status: "succeeded", output: marked });
  await setImmediate();
  expect([files.map((file) => existsSync(file)), added]).toEqual([[true, true], []]);
  uploaded.resolve("https://edge.example/output.png");
  await expect.poll(() => added.map(({ type }) => type)).toEqual(["output", "failed"]);
  await expect.poll(() => files.map((file) => existsSync(file))).toEqual([false, false]);
});
