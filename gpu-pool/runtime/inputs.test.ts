import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import type { Json } from "../../src/contract/prediction.ts";
import { granted } from "../../test/unit/granted.ts";
import { createHttpClient, TransportError } from "../transport/http-client.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { fileFields } from "./file-fields.ts";
import { FILE_ABOVE_BYTES } from "./frames.ts";
import { createPrepare, dropInputs, runItems, stagingOf } from "./inputs.ts";
import { HostShortage } from "./pressure/host-shortage.ts";
import { InputBudget } from "./pressure/input-budget.ts";

const uri = { type: "string", format: "uri" };
const maxTotalBytes = 1000;

test("finds the file fields of a schema, in lists and optional ones too", () => {
  const properties = {
    file: uri,
    files: { type: "array", items: uri },
    maybe: { anyOf: [uri, { type: "null" }] },
    some: { allOf: [{ anyOf: [{ type: "array", items: uri }] }] },
    text: { type: "string" },
    secret: { type: "string", format: "password" },
    choice: { allOf: [{ $ref: "#/components/schemas/choice" }] },
  };
  expect([...fileFields({ components: { schemas: { Input: { properties } } } }).keys()]).toEqual([
    "file",
    "files",
    "maybe",
    "some",
  ]);
  expect([...fileFields({}).keys()]).toEqual([]);
});

test("all files of one prediction together have a limit, whatever each of them may be", async () => {
  const server = createServer((_request, reply) => reply.end("content"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/file.txt`;
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-inputs-"));
  const rules = { allowLoopback: true, trustedOrigin: "", maxBytes: 100, timeoutMs: 20_000 };
  const options = { http: createHttpClient(new URL(url), {}), inputsDir: folder, download: rules, maxTotalBytes: 21 };
  const schema = { components: { schemas: { Input: { properties: { files: { type: "array", items: uri } } } } } };
  const prepare = createPrepare(options);
  const fetchMany = async (count: number): Promise<void> =>
    (await prepare(granted({ input: { files: Array.from({ length: count }, () => url) } }), schema)) ?? undefined;
  await fetchMany(3);
  await expect(fetchMany(4)).rejects.toThrow("Input files: all files together are larger than 21 bytes.");
  // Each prediction has its own.
  await fetchMany(3);
  server.close();
  rmSync(folder, { recursive: true });
});

test("what the files of all predictions take together has a limit: who comes late gives way until others are done", async () => {
  const server = createServer((_request, reply) => reply.end("content"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/file.txt`;
  const inputsDir = mkdtempSync(join(tmpdir(), "edgeplane-inputs-"));
  const rules = { allowLoopback: true, trustedOrigin: "", maxBytes: 100, timeoutMs: 20_000 };
  const budget = new InputBudget({ limitBytes: 20, onChange() {} });
  const http = createHttpClient(new URL(url), {});
  const prepare = createPrepare({ http, inputsDir, download: rules, maxTotalBytes, budget });
  const schema = { components: { schemas: { Input: { properties: { files: { type: "array", items: uri } } } } } };
  const fetchTwo = async (token: string) => {
    const prediction = granted({ token, input: { files: [url, url] } });
    await prepare(prediction, schema);
    return prediction;
  };
  const first = await fetchTwo("first");
  const late = granted({ token: "late", input: { files: [url, url] } });
  await expect(prepare(late, schema)).rejects.toThrow(HostShortage);
  dropInputs(late);
  expect(budget.bytes).toBe(14);
  dropInputs(first);
  expect([budget.bytes, budget.problem]).toEqual([0, null]);
  dropInputs(await fetchTwo("late"));
  expect([budget.bytes, readdirSync(inputsDir)]).toEqual([0, []]);
  server.close();
  rmSync(inputsDir, { recursive: true });
});

test("files are fetched wherever the schema has them, and nothing else that is named there reaches the model process", async () => {
  const server = createServer((_request, reply) => reply.end("content"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/file.txt`;
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-inputs-"));
  const rules = { allowLoopback: true, trustedOrigin: "", maxBytes: 100, timeoutMs: 20_000 };
  const prepare = createPrepare({
    http: createHttpClient(new URL(url), {}),
    inputsDir: folder,
    download: rules,
    maxTotalBytes,
  });
  const properties = {
    pages: { type: "array", items: { type: "array", items: uri } },
    named: { type: "object", additionalProperties: uri },
    scene: { type: "object", properties: { image: { anyOf: [uri, { type: "null" }] }, title: { type: "string" } } },
  };
  const schema = { components: { schemas: { Input: { properties } } } };
  const prepared = async (input: Json): Promise<Json> => {
    const prediction = granted({ input });
    await prepare(prediction, schema);
    return prediction.input;
  };
  const texts = (value: Json): Json =>
    JSON.parse(JSON.stringify(value), (_key, one: Json) =>
      typeof one === "string" && one.startsWith(folder) ? readFileSync(one, "utf8") : one,
    ) as Json;
  const whole = { pages: [[url, url], []], named: { a: url }, scene: { image: url, title: "/not/a/file" } };
  expect(texts(await prepared(whole))).toEqual({
    pages: [["content", "content"], []],
    named: { a: "content" },
    scene: { image: "content", title: "/not/a/file" },
  });
  expect(await prepared({ scene: { image: null, title: url } })).toEqual({ scene: { image: null, title: url } });
  for (const input of [
    { pages: [["/etc/passwd"]] },
    { named: { a: "/etc/passwd" } },
    { scene: { image: "/etc/passwd" } },
  ])
    await expect(prepared(input)).rejects.toThrow("a file is given as an http(s) URL or a data: URI");
  server.close();
  rmSync(folder, { recursive: true });
});

test("a data URI, in capitals too, is the model process's to read", () => {
  const download = { allowLoopback: false, trustedOrigin: "", maxBytes: 1, timeoutMs: 1 };
  const prepare = createPrepare({ http: {} as HttpClient, inputsDir: "/nowhere", download, maxTotalBytes });
  const schema = { components: { schemas: { Input: { properties: { file: uri } } } } };
  for (const file of ["data:,a", "DATA:,a", "Data:,a"])
    expect(prepare(granted({ input: { file } }), schema)).toBeNull();
});

test("a large input waits for an edge that is away as long as somebody waits for the prediction", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  try {
    let tries = 0;
    const http = {
      async request() {
        tries += 1;
        if (tries % 2 === 0) return { status: 503, text: "" };
        if (tries < 100) throw new TransportError("connect ECONNREFUSED");
        return { status: 200, text: '{"text":"came"}' };
      },
    } as unknown as HttpClient;
    const download = { allowLoopback: false, trustedOrigin: "", maxBytes: 1, timeoutMs: 1 };
    const prepare = createPrepare({ http, inputsDir: "/nowhere", download, maxTotalBytes });
    const [waits, ends] = [granted({ inputBlob: "/blob" }), granted({ inputBlob: "/blob" })];
    const prepared = prepare(waits, {});
    await vi.advanceTimersByTimeAsync(300_000);
    await prepared;
    expect(waits.input).toEqual({ text: "came" });
    tries = 0;
    const outcome = prepare(ends, {})?.catch(() => "given up");
    ends.fetching.abort();
    await vi.advanceTimersByTimeAsync(5000);
    expect(await outcome).toBe("given up");
    expect(tries).toBeLessThan(3);
  } finally {
    vi.useRealTimers();
  }
});

test("what grows when it is written again goes to the model process by file, and no frame is too large for it", () => {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-items-"));
  const text = JSON.stringify({ numbers: Array.from({ length: 10_000 }, () => 0) }).replaceAll("0", "1e20");
  const predictions = Array.from({ length: 64 }, (_, index) => {
    const prediction = granted({ input: JSON.parse(text) as Json });
    return { ...prediction, ref: { id: "p", token: `t${index}` }, inputBytes: text.length };
  });
  const items = runItems(predictions, folder);
  expect(JSON.stringify(items).length).toBeLessThan(FILE_ABOVE_BYTES);
  expect(readFileSync(items[0]?.inputFile ?? "", "utf8")).toBe(JSON.stringify(JSON.parse(text)));
  for (const prediction of predictions) dropInputs(prediction);
  expect(readdirSync(folder)).toEqual([]);
  for (const path of [folder, stagingOf(folder)]) rmSync(path, { recursive: true });
});

test("an input is as large as its bytes are", async () => {
  const text = JSON.stringify({ text: "漢".repeat(1000) });
  const http = { request: async () => ({ status: 200, text }) } as unknown as HttpClient;
  const download = { allowLoopback: false, trustedOrigin: "", maxBytes: 1, timeoutMs: 1 };
  const prediction = granted({ inputBlob: "/blob" });
  await createPrepare({ http, inputsDir: "/nowhere", download, maxTotalBytes })(prediction, {});
  expect(prediction.inputBytes).toBe(3011);
});
