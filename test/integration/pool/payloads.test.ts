/** Large inputs and outputs, and files, take their own ways. */
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { roomOf, startFixture } from "./fixture.ts";

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
      kind: "input",
      error: { code: "invalid_input", message: "Input file: its URL does not lead to a public address." },
    });
  }
  for (const refused of [path, scheme]) {
    expect(refused.terminal).toMatchObject({
      error: { message: "Input file: a file is given as an http(s) URL or a data: URI." },
    });
  }
});

test("what a model gives back of a client's words is never taken for a file of the host", async () => {
  await using fixture = await startFixture(["echo"]);
  const { edge, home } = fixture;
  const secret = join(home.root, "secret.txt");
  writeFileSync(secret, "the pool's own");
  const value = [
    { $file: secret },
    { $file: secret, mediaType: "text/plain", mark: "" },
    { $file: "/proc/self/environ" },
  ];
  const tracked = edge.submit(await fixture.ref("echo"), { value });
  await edge.until(() => tracked.terminal !== null);
  expect(tracked.terminal).toMatchObject({ type: "succeeded", output: value });
  expect([...edge.blobs]).toEqual([]);
  expect(existsSync(secret)).toBe(true);
});

test("an input that this host can't write down goes to another, and this one takes nothing for a while", async () => {
  await using fixture = await startFixture(["single"]);
  const { edge, home } = fixture;
  const ref = await fixture.ref("single");
  const first = edge.submit(ref, { do: "fine" });
  await edge.until(() => first.terminal !== null);
  edge.blobs.set("input", Buffer.from(JSON.stringify({ do: " ".repeat(9_000_000) })));
  rmSync(join(home.state, "scratch"), { recursive: true });
  const tracked = edge.submit(ref, null, { inputBlob: "/pool/v1/blobs/input" });
  await edge.until(() => roomOf(edge, "single")?.room === 0);
  await edge.until(() => tracked.events.some(({ type }) => type === "released"));
  expect(tracked.events.at(-1)).toMatchObject({ reason: "no_room" });
  expect(JSON.stringify(tracked.events.at(-1))).toContain("ENOENT");
  expect(JSON.stringify(tracked.events)).not.toContain(home.root);
  const second = await fixture.second();
  await edge.until(() => tracked.terminal?.type === "succeeded");
  expect(tracked.row.losses).toBe(0);
  await second.pool.kill("SIGTERM");
  const next = edge.submit(ref, { do: "fine" });
  await edge.until(() => next.terminal?.type === "succeeded");
});

test("an input of many files is fetched a few at a time, and no more of it when nobody wants it", async () => {
  await using fixture = await startFixture(["many"], ["--allow-loopback-inputs"]);
  const { edge, home } = fixture;
  let [open, most] = [0, 0];
  const server = createServer((_request, reply) => {
    open += 1;
    most = Math.max(most, open);
    reply.on("close", () => (open -= 1));
    reply.writeHead(200).write("begins");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const files = Array.from({ length: 50 }, (_, index) => `http://127.0.0.1:${port}/${index}`);
  const tracked = edge.submit(await fixture.ref("many"), { files });
  await expect.poll(() => open).toBeGreaterThan(7);
  const beside = edge.submit(await fixture.ref("many"), {});
  await edge.until(() => beside.terminal !== null);
  expect(most).toBe(8);
  edge.cancel(tracked);
  await expect.poll(() => open).toBe(0);
  await expect.poll(() => readdirSync(join(home.state, "scratch", "inputs"))).toEqual([]);
  server.close();
});

test("inputs that come slowly hold up nobody else", async () => {
  await using fixture = await startFixture(["files"], ["--allow-loopback-inputs"]);
  const { edge } = fixture;
  const server = createServer((_request, reply) => reply.writeHead(200).write("begins"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const ref = await fixture.ref("files");
  const slow = Array.from({ length: 6 }, () => edge.submit(ref, { file: `http://127.0.0.1:${port}/` }));
  const quick = edge.submit(ref, { file: "data:text/plain,quick" });
  await edge.until(() => quick.terminal?.type === "succeeded", 5000);
  expect(slow.map(({ terminal }) => terminal)).toEqual(slow.map(() => null));
  server.closeAllConnections();
  server.close();
});

test("files that go up slowly hold up nobody else", async () => {
  await using fixture = await startFixture(["many", "single"]);
  const { edge } = fixture;
  const { promise: mayGoUp, resolve: letGoUp } = Promise.withResolvers<void>();
  edge.behaviour.blobsWaitFor = mayGoUp;
  const many = edge.submit(await fixture.ref("many"), { count: 40 });
  // As many as go up at once.
  await edge.until(() => edge.counts["pool/v1/blobs"] === 16);
  const other = edge.submit(await fixture.ref("single"), { do: "fine" });
  await edge.until(() => other.terminal?.type === "succeeded", 5000);
  letGoUp();
  await edge.until(() => many.terminal !== null);
  expect(many.terminal?.type === "succeeded" ? many.terminal.output : null).toHaveLength(40);
});

test("a file that this host has no place for is not the client's fault", async () => {
  await using fixture = await startFixture(["files"]);
  const { edge, home } = fixture;
  const ref = await fixture.ref("files");
  const first = edge.submit(ref, { file: "data:text/plain,a" });
  await edge.until(() => first.terminal !== null);
  rmSync(join(home.state, "scratch", "inputs"), { recursive: true });
  writeFileSync(join(home.state, "scratch", "inputs"), "");
  edge.blobs.set("any", Buffer.from("any"));
  const tracked = edge.submit(ref, { file: `${edge.url}/files/any` });
  await edge.until(() => tracked.events.some(({ type }) => type === "released"));
  expect(tracked.events.at(-1)).toMatchObject({ reason: "no_room" });
  expect(JSON.stringify(tracked.events.at(-1))).toContain("could not store the input");
  expect(JSON.stringify(tracked.events)).not.toContain(home.root);
  rmSync(join(home.state, "scratch", "inputs"));
  await edge.until(() => tracked.terminal?.type === "succeeded");
});

test("an input that can't be run is the client's fault, told before its model is ready, and behind nobody", async () => {
  await using fixture = await startFixture(["files", "single"]);
  const { edge } = fixture;
  const ref = await fixture.ref("files");
  const cold = edge.submit(ref, { file: `${edge.url}/files/none` });
  const refused = edge.submit(await fixture.ref("single"), { do: 7 });
  await edge.until(() => cold.terminal !== null && refused.terminal !== null);
  expect(cold.terminal).toMatchObject({
    kind: "input",
    error: { code: "invalid_input", message: "Input file: its URL answered 404." },
  });
  expect(cold.starts).toBe(0);
  expect(refused.terminal).toMatchObject({ kind: "input", error: { code: "invalid_input" } });
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
