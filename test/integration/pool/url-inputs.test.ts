/**
 * Input URLs reach public addresses only: every spelling of a private target is tried, at once and behind redirects,
 * with names that resolve to private addresses, and to others a second time. Loopback is tried for real, against a
 * listener that must hear nothing; for all else, a connector notes where the connection would go: no packet leaves the
 * machine.
 */
import type { LookupAddress } from "node:dns";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { connect, isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { download } from "../../../gpu-pool/runtime/download.ts";
import type { DownloadRules, Network } from "../../../gpu-pool/runtime/download.ts";
import { loopbackHosts, privateHosts, refusedUrls } from "../../../src/webhooks/target-corpus.ts";

const REFUSED =
  /^Input file: (?:its URL does not lead to a public address|this is not a valid URL|a file is given as|its URL redirects to)/;
/** A public address, that of a name which redirects. */
const PUBLIC = "93.184.216.34";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-urls-"));
/** What the listener on loopback has heard. */
let heard: string[] = [];
/** Where connections went, or would have gone. */
let reached: string[] = [];
/** Where `http://hop.example.com/<n>` redirects to. */
let redirects: string[] = [];
let port = 0;

const listener = http.createServer((request, reply) => {
  heard.push(request.url ?? "");
  const target = redirects[Number(request.url?.slice(1))];
  if (target === undefined) reply.end("content");
  else reply.writeHead(302, { location: Buffer.from(target).toString("latin1") }).end();
});

beforeAll(async () => {
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});
beforeEach(() => {
  [heard, reached, redirects] = [[], [], []];
});
afterAll(() => {
  listener.close();
  rmSync(folder, { recursive: true, force: true });
});

type Connected = (error: Error | null, stream: Duplex) => void;

/** Notes the address of each connection; that of the public one is played by the listener, others come to nothing. */
function recordConnection(options: http.ClientRequestArgs, done?: Connected): undefined {
  const fail = (error: Error | null) => done?.(error ?? new Error("not found"), new Duplex());
  const open = (address: string): void => {
    reached.push(address);
    if (address === PUBLIC) done?.(null, connect({ host: "127.0.0.1", port }));
    else fail(new Error("no connection in a test"));
  };
  const host = options.host ?? "localhost";
  if (isIP(host) === 0) {
    options.lookup?.(host, { all: true }, (error, found) => {
      const [first] = Array.isArray(found) ? found : [];
      if (error !== null || first === undefined) fail(error);
      else open(first.address);
    });
  } else open(host);
  return undefined;
}

class RecordingHttp extends http.Agent {
  override createConnection = recordConnection;
}
class RecordingHttps extends https.Agent {
  override createConnection = recordConnection;
}

/** `names`: the addresses of each name, one list a look-up; the last one stays. */
function recording(names: Record<string, string[][]> = {}): Network {
  const asked = new Map<string, number>();
  return {
    agent: (protocol) => (protocol === "https:" ? new RecordingHttps() : new RecordingHttp()),
    lookup(hostname, done) {
      const answers = { "hop.example.com": [[PUBLIC]], ...names }[hostname] ?? [["10.0.0.1"]];
      const turn = asked.get(hostname) ?? 0;
      asked.set(hostname, turn + 1);
      const found = answers[Math.min(turn, answers.length - 1)] ?? [];
      done(
        null,
        found.map((address): LookupAddress => ({ address, family: address.includes(":") ? 6 : 4 })),
      );
    },
  };
}

function fetchInput(url: string, rules: Partial<DownloadRules>): Promise<string> {
  const defaults = {
    allowLoopback: false,
    trustedOrigin: "https://edge.example.com",
    maxBytes: 1000,
    timeoutMs: 20_000,
  };
  return download(url, folder, 0, "file", { ...defaults, ...rules });
}

test("the corpus is large enough", () => {
  expect(new Set<string>([...loopbackHosts, ...privateHosts]).size).toBeGreaterThanOrEqual(150);
});

test.each(loopbackHosts)("loopback as %s is not contacted, unless it is allowed", async (host) => {
  await expect(fetchInput(`http://${host}:${port}/x`, {})).rejects.toThrow(REFUSED);
  redirects = [`http://${host}:${port}/x`];
  await expect(fetchInput("http://hop.example.com/0", { network: recording() })).rejects.toThrow(REFUSED);
  expect(reached).toEqual([PUBLIC]);
  expect(heard).toEqual(["/0"]);
});

test("the listener would have heard it", async () => {
  const path = await fetchInput(`http://0x7f.1:${port}/x`, { allowLoopback: true });
  expect([readFileSync(path, "utf8"), heard]).toEqual(["content", ["/x"]]);
  await fetchInput(`http://localhost:${port}/y`, { trustedOrigin: `http://localhost:${port}` });
  expect(heard).toEqual(["/x", "/y"]);
});

test.each(privateHosts)("the host %s is not contacted, at once or at any hop", async (host) => {
  for (const url of [`http://${host}/x`, `http://${host}:8443/x`, `https://${host}/x`]) {
    await expect(fetchInput(url, { network: recording() })).rejects.toThrow(REFUSED);
  }
  expect(reached).toEqual([]);
  for (const hops of [1, 3, 5]) {
    redirects = [...Array.from({ length: hops - 1 }, (_, hop) => `/${hop + 1}`), `http://${host}/x`];
    [heard, reached] = [[], []];
    await expect(fetchInput("http://hop.example.com/0", { network: recording() })).rejects.toThrow(REFUSED);
    expect(heard).toHaveLength(hops);
    expect(new Set(reached)).toEqual(new Set([PUBLIC]));
  }
});

const schemes = refusedUrls.filter((url) => !/^\s*(?:https?:|$|x$|\/hook)/i.test(url) && !url.includes("example.com"));
test.each([...schemes, "http:///x", "file:///etc/passwd", "\\\\10.0.0.1\\share", "//10.0.0.1/x"])(
  "a redirect to %s goes nowhere",
  async (url) => {
    redirects = [url];
    await expect(fetchInput("http://hop.example.com/0", { network: recording() })).rejects.toThrow(/^Input file: /);
    expect(reached).toEqual([PUBLIC]);
  },
);

test.each<[string, string[]]>([
  ["a private address", ["192.168.1.1"]],
  ["loopback", ["127.0.0.1"]],
  ["a public and a private address", [PUBLIC, "10.0.0.1"]],
  ["the metadata service", ["169.254.169.254"]],
  ["an address of one link", ["fe80::1%eth0"]],
  ["IPv4 within IPv6", ["::ffff:10.0.0.1"]],
  ["IPv4 behind NAT64", ["64:ff9b::a00:1"]],
  ["nothing", []],
])("a name that resolves to %s is not contacted", async (_what, addresses) => {
  const network = recording({ "evil.example.com": [addresses] });
  await expect(fetchInput("http://evil.example.com/x", { network })).rejects.toThrow(REFUSED);
  expect(reached).toEqual([]);
});

test("a name that resolves otherwise a second time gains nothing: the connection goes to what was checked", async () => {
  const names = { "rebind.example.com": [[PUBLIC], ["127.0.0.1"]] };
  expect(await fetchInput("http://rebind.example.com/x", { network: recording(names) })).toContain("0-x");
  expect(reached).toEqual([PUBLIC]);
  redirects = ["http://rebind.example.com/1"];
  await expect(fetchInput("http://rebind.example.com/0", { network: recording(names) })).rejects.toThrow(REFUSED);
  expect(reached).toEqual([PUBLIC, PUBLIC]);
});

test("what the edge redirects to is held to the same", async () => {
  redirects = ["http://10.0.0.1/x"];
  const rules = { trustedOrigin: "http://hop.example.com", network: recording({ "hop.example.com": [[PUBLIC]] }) };
  await expect(fetchInput("http://hop.example.com/0", rules)).rejects.toThrow(REFUSED);
  expect(reached).toEqual([PUBLIC]);
});

test("it goes round a few times only, and no name of a file leaves the folder", async () => {
  redirects = ["/0"];
  await expect(fetchInput("http://hop.example.com/0", { network: recording() })).rejects.toThrow(
    /redirects more than 5 times/,
  );
  redirects = [];
  for (const path of ["%2e%2e%2f%2e%2e%2fetc", "..%5c..", "%", "%zz", "a%00b", "x".repeat(300), ".bashrc", ""]) {
    const file = await fetchInput(`http://hop.example.com/${path}`, { network: recording() });
    expect(file).toMatch(new RegExp(`^${folder}/0-[\\w-][\\w.-]{0,99}$`));
  }
});
