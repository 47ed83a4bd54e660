/** Large inputs and outputs, and files, take their own ways. */
import { createServer } from "node:http";
import { expect, test } from "vitest";
import { startFixture } from "./fixture.ts";

test("a large output goes up as a blob, and the event names its key", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const ref = await fixture.ref("single");
  for (const size of [300_000, 8_000_000]) {
    const tracked = edge.submit(ref, { do: `large ${size}` });
    await edge.until(() => tracked.terminal !== null);
    const key = tracked.terminal?.type === "succeeded" ? (tracked.terminal.outputBlob ?? "") : "";
    expect(tracked.terminal).not.toHaveProperty("output");
    expect(JSON.parse(edge.blobs.get(key)?.toString() ?? "null")).toBe("x".repeat(size));
  }
});

test("a large input comes as a blob", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge } = fixture;
  const text = `large 10${" ".repeat(9_000_000)}`;
  edge.blobs.set("input", Buffer.from(JSON.stringify({ do: text })));
  const ref = await fixture.ref("single");
  const tracked = edge.submit(ref, null, { inputBlob: "/pool/v1/blobs/input" });
  await edge.until(() => tracked.terminal !== null);
  expect(tracked.terminal).toMatchObject({ type: "succeeded", output: "x".repeat(10) });
});

test("files: data URIs and uploads to the edge go in, a URL comes out; nothing private is fetched or read", async () => {
  await using fixture = await startFixture(["files"]);
  const { edge } = fixture;
  const ref = await fixture.ref("files");
  const secret = createServer((_request, reply) => reply.end("secret"));
  await new Promise<void>((resolve) => secret.listen(0, "127.0.0.1", resolve));
  const address = secret.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  edge.blobs.set("uploaded", Buffer.from("hello file"));
  const submit = (file: string) => edge.submit(ref, { file });
  const [data, uploaded, loopback, named, path, scheme] = [
    submit("data:text/plain;base64,aGVsbG8="),
    submit(`${edge.url}/files/uploaded`),
    submit(`http://127.0.0.1:${port}/`),
    submit(`http://localhost:${port}/`),
    submit("/etc/passwd"),
    submit("file:///etc/passwd"),
  ];
  const all = [data, uploaded, loopback, named, path, scheme];
  await edge.until(() => all.every(({ terminal }) => terminal !== null));
  secret.close();
  const contentOf = (tracked: typeof data): string => {
    const url = tracked.terminal?.type === "succeeded" ? JSON.stringify(tracked.terminal.output).slice(1, -1) : "";
    return edge.blobs.get(url.replace(`${edge.url}/files/`, ""))?.toString() ?? JSON.stringify(tracked.terminal);
  };
  expect(contentOf(data)).toBe("HELLO");
  expect(contentOf(uploaded)).toBe("HELLO FILE");
  for (const refused of [loopback, named]) {
    expect(refused.terminal).toMatchObject({
      type: "failed",
      kind: "model",
      error: { code: "invalid_input", message: "Input file: its URL does not lead to a public address." },
    });
  }
  for (const refused of [path, scheme]) {
    expect(refused.terminal).toMatchObject({
      error: { message: "Input file: a file is given as an http(s) URL or a data: URI." },
    });
  }
});

test("a switch lets input URLs lead to this host", async () => {
  await using fixture = await startFixture(["files"], ["--allow-loopback-inputs"]);
  const { edge } = fixture;
  const server = createServer((request, reply) => {
    if (request.url === "/moved") reply.writeHead(302, { location: "/here.txt" }).end();
    else reply.end("from here");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const tracked = edge.submit(await fixture.ref("files"), { file: `http://127.0.0.1:${port}/moved` });
  await edge.until(() => tracked.terminal !== null);
  server.close();
  expect(tracked.terminal).toMatchObject({ type: "succeeded" });
});
