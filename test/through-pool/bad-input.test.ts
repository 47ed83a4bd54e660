/** Bad input and bad models, through the real pool program: each gets its message, and the next prediction runs. */
import { createServer } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Json } from "../models/driver.ts";
import { startHarness } from "./harness.ts";
import type { PoolHarness } from "./harness.ts";

const TEN_MB = 10_000_000;
let harness: PoolHarness;

beforeAll(async () => {
  harness = await startHarness(
    [
      { name: "input-path" },
      { name: "input-text" },
      { name: "function", settings: "build:\n  system_packages: [no-such-package-here]" },
      { name: "input-choices" },
      { name: "input-bounds" },
      { name: "input-dict" },
      { name: "large" },
      { name: "hostile-dies" },
      { name: "hostile-memory", settings: "edgeplane:\n  memoryLimitBytes: 1073741824" },
      { name: "hostile-never-ready", settings: "edgeplane:\n  setupTimeoutMs: 7500" },
    ],
    ["--idle-stop-ms", "2000"],
  );
});
afterAll(() => harness.close());

/** The code and the message that a prediction failed with. */
async function failure(name: string, input: Json): Promise<{ code: string; message: string }> {
  const { terminal } = await harness.run(name, input);
  expect(terminal).toMatchObject({ type: "failed" });
  if (terminal?.type !== "failed") throw new Error("it did not fail");
  return terminal.error;
}

describe("files", () => {
  const withFile = (file: Json) => failure("input-path", { file });

  test.each([
    ["a private address", "http://10.0.0.1/x"],
    ["a cloud's metadata", "http://169.254.169.254/latest/meta-data/"],
    ["loopback by number", "http://2130706433:9/"],
    ["loopback in hexadecimal", "http://0x7f.1:9/"],
    ["loopback in IPv6", "http://[::1]:9/"],
    ["IPv4 in IPv6", "http://[::ffff:127.0.0.1]:9/"],
    ["a name of this host", "http://localhost:9/"],
  ])("a URL to %s", async (_what, url) => {
    expect(await withFile(url)).toEqual({
      code: "invalid_input",
      message: "Input file: its URL does not lead to a public address.",
    });
  });

  test("a file that is missing at its URL", async () => {
    expect(await withFile(`${harness.edge.url}/files/none`)).toEqual({
      code: "invalid_input",
      message: "Input file: its URL answered 404.",
    });
  });

  test.each([
    ["a path of the host", "/etc/passwd", "Input file: a file is given as an http(s) URL or a data: URI."],
    ["another scheme", "file:///etc/passwd", "Input file: a file is given as an http(s) URL or a data: URI."],
    ["no URL", "http://", "Input file: this is not a valid URL."],
    ["a data URI that is not base64", "data:image/png;base64,!!", "file: is not a data URI: its data is not base64"],
    ["a data URI without data", "data:image/png", "file: is not a data URI: the comma before the data is missing"],
    ["a number", 7, "file: must be a file: a data URI or a URL, not a number"],
  ])("%s", async (_what, file, message) => {
    expect((await withFile(file)).message).toContain(message);
  });

  test.each([
    ["another kind of file", "data:image/png;base64,JVBERi0xLjQ=", ".pdf %PDF-1.4", "but is application/pdf", "pdf"],
    ["no such file", "data:image/png;base64,aGk=", ".png hi", "which its bytes are not", "png"],
  ])("a data URI that lies about its type, being %s, is given as what it is, and the log says so", async (...row) => {
    const [, file, output, what, extension] = row;
    const { terminal, events } = await harness.run("input-path", { file });
    expect(terminal).toMatchObject({ type: "succeeded", output });
    const logs = events.flatMap((event) => (event.type === "log" ? [event.text] : []));
    expect(logs.join("")).toBe(
      `edgeplane: input file claims to be image/png, ${what}; the model gets it as file.${extension}\n`,
    );
  });
});

test("a redirect to a private address, where loopback is allowed", async () => {
  const server = createServer((_request, reply) => reply.writeHead(302, { location: "http://169.254.169.254/" }).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const allowing = await startHarness([{ name: "input-path" }], ["--allow-loopback-inputs"]);
  try {
    const { terminal } = await allowing.run("input-path", { file: `http://127.0.0.1:${port}/` });
    expect(terminal).toMatchObject({ error: { message: "Input file: its URL does not lead to a public address." } });
  } finally {
    server.close();
    await allowing.close();
  }
});

describe("values", () => {
  test("a number that JSON can't carry comes as null, and its field is named", async () => {
    expect((await failure("input-bounds", { scale: null })).message).toContain("scale: ");
  });

  test("every field that is wrong is named at once", async () => {
    const { message } = await failure("input-bounds", { steps: 11, scale: 3 });
    expect(message).toContain("steps: must be at most 10");
    expect(message).toContain("scale: must be at most 2.5");
  });

  test("a string of 10 MB goes through whole", async () => {
    const text = "x".repeat(TEN_MB);
    harness.edge.blobs.set("large-input", Buffer.from(JSON.stringify({ text })));
    const { terminal } = await harness.run("large", null, { inputBlob: "/pool/v1/blobs/large-input" });
    const key = terminal?.type === "succeeded" ? (terminal.outputBlob ?? "") : "";
    expect(harness.edge.blobs.get(key)?.length).toBe(TEN_MB + 2);
  });

  test.each([
    ["input-text", "name", "must have at most 5 characters"],
    ["input-choices", "style", "must be one of"],
    ["input-dict", "data", "must be an object, not a string"],
  ])("a string of 10 MB that %s does not take is not repeated in the message", async (name, field, why) => {
    harness.edge.blobs.set(`large-${name}`, Buffer.from(JSON.stringify({ [field]: "x".repeat(TEN_MB) })));
    const { terminal } = await harness.run(name, null, { inputBlob: `/pool/v1/blobs/large-${name}` });
    const message = terminal?.type === "failed" ? terminal.error.message : "";
    expect(message).toContain(`${field}: ${why}`);
    expect(message.length).toBeLessThan(1000);
  });
});

describe("models", () => {
  test("the environment of each is shown", async () => {
    await harness.run("input-text", { name: "Ada" });
    const shown = /"environment":\{"python":"\/[^"]+","sizeBytes":null,"isUnpacked":false,"warnings":\[\]/;
    expect(await harness.models()).toMatch(shown);
  });

  test("one that wants a system package which the host lacks is not set up, and says what to do", async () => {
    const { code, message } = await failure("function", {});
    expect(code).toBe("setup_failed");
    expect(message).toContain("apt-get install no-such-package-here");
    expect(message).toContain("--allow-system-packages");
  });

  test.each([
    ["exit", "it exited with code 7"],
    ["kill", "it was ended by SIGKILL"],
    ["segfault", "it was ended by SIGSEGV"],
  ])("a process that dies by %s: its prediction is tried three times, the next one runs", async (how, why) => {
    const tracked = await harness.run("hostile-dies", { how });
    expect(tracked.terminal).toMatchObject({
      kind: "crash",
      error: { code: "model_crashed", message: `The model process died while it ran this prediction: ${why}.` },
    });
    expect(tracked.starts).toBe(3);
    expect((await harness.run("hostile-dies", { how: "fine" })).terminal).toMatchObject({ output: "fine" });
  });

  test("one that eats all memory reaches its limit, and lives on", async () => {
    expect((await failure("hostile-memory", { much: true })).message).toContain(
      "MemoryError: out of memory (the limit of the process is 1073741824 bytes)",
    );
    expect((await harness.run("hostile-memory", {})).terminal).toMatchObject({ output: "fine" });
  });

  test("one whose setup never ends is given up at its limit, with what it printed", async () => {
    const { code, message } = await failure("hostile-never-ready", {});
    expect(code).toBe("setup_failed");
    expect(message).toContain("setup took longer than 7.5 s\nstill setting up");
    expect(await harness.models()).toContain("still setting up");
  });
});

test("nothing of it broke the rules between pool and edge", () => {
  expect(harness.edge.violations).toEqual([]);
});
