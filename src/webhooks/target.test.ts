import { BlockList, isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { acceptedUrls, loopbackHosts, privateHosts, refusedUrls } from "./target-corpus.ts";
import { checkTarget } from "./target.ts";

describe("checkTarget", () => {
  it("knows at least 150 spellings of what must not be reached", () => {
    const spellings = new Set<string>([...loopbackHosts, ...privateHosts, ...refusedUrls]);
    expect(spellings.size).toBeGreaterThanOrEqual(250);
  });

  it.each([...loopbackHosts, ...privateHosts])("refuses the host %s", (host) => {
    expect(checkTarget(`https://${host}/hook`, { allowLoopback: false }).ok).toBe(false);
    expect(checkTarget(`https://${host}:8443/hook`, { allowLoopback: false }).ok).toBe(false);
    expect(checkTarget(`http://${host}/hook`, { allowLoopback: false }).ok).toBe(false);
  });

  it.each(loopbackHosts)("lets the local switch reach %s", (host) => {
    expect(checkTarget(`http://${host}:18600/hook`, { allowLoopback: true }).ok).toBe(true);
  });

  it.each(privateHosts)("refuses the host %s under the local switch too", (host) => {
    expect(checkTarget(`https://${host}/hook`, { allowLoopback: true }).ok).toBe(false);
  });

  it.each(refusedUrls)("refuses %s", (url) => {
    for (const allowLoopback of [false, true]) {
      const answer = checkTarget(url, { allowLoopback });
      expect(answer).toEqual({ ok: false, reason: expect.stringMatching(/^(it|port) /) as string });
    }
  });

  it.each(acceptedUrls)("accepts %s", (url, host) => {
    expect(checkTarget(url, { allowLoopback: false })).toMatchObject({ ok: true, host });
  });

  it("refuses what is too long once it is written in ASCII", () => {
    const url = (length: number) => `https://example.com/?q=${"ä".repeat(length)}`;
    expect(checkTarget(url(300), { allowLoopback: false }).ok).toBe(true);
    expect(checkTarget(url(1000), { allowLoopback: false }).ok).toBe(false);
  });

  it("keeps services on loopback from the local switch", () => {
    expect(checkTarget("http://127.0.0.1:6379/", { allowLoopback: true }).ok).toBe(false);
  });
});

const blockedIpv4 = new BlockList();
const blockedIpv6 = new BlockList();
for (const cidr of [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
]) {
  const [net = "", bits = ""] = cidr.split("/");
  blockedIpv4.addSubnet(net, Number(bits), "ipv4");
}
for (const cidr of ["::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]) {
  const [net = "", bits = ""] = cidr.split("/");
  blockedIpv6.addSubnet(net, Number(bits), "ipv6");
}

/** What Node makes of a URL: the verdict that checkTarget must come to for an address. */
function oracle(url: string): "blocked" | "open" | "name" | "unparsable" {
  if (!URL.canParse(url)) return "unparsable";
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  if (isIPv4(host)) return blockedIpv4.check(host, "ipv4") ? "blocked" : "open";
  if (isIPv6(host)) return blockedIpv6.check(host, "ipv6") ? "blocked" : "open";
  return "name";
}

/** Each part of an address in one of the notations that parsers take. */
const number = (value: number, notation: number): string =>
  notation === 0 ? String(value) : notation === 1 ? `0x${value.toString(16)}` : `0${value.toString(8)}`;

const ipv4Arbitrary = fc
  .record({
    address: fc.oneof(
      fc.nat({ max: 0xffff_ffff }),
      fc.constantFrom(0x7f00_0001, 0x0a00_0001, 0xa9fe_a9fe, 0xac10_0001, 0xc0a8_0101, 0x6440_0001, 0xc633_6401),
    ),
    notations: fc.array(fc.nat({ max: 2 }), { minLength: 4, maxLength: 4 }),
    parts: fc.integer({ min: 1, max: 4 }),
    wide: fc.boolean(),
    dot: fc.boolean(),
  })
  .map(({ address, notations, parts, wide, dot }) => {
    const bytes = [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256);
    const last = bytes.slice(parts - 1).reduce((sum, byte) => sum * 256 + byte, 0);
    const values = [...bytes.slice(0, parts - 1), last];
    const text = values.map((value, index) => number(value, notations[index] ?? 0)).join(".") + (dot ? "." : "");
    return wide ? text.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))) : text;
  });

const ipv6Arbitrary = fc
  .record({
    groups: fc.array(
      fc.oneof(fc.nat({ max: 0xffff }), fc.constantFrom(0, 0xffff, 0x2001, 0x2002, 0xfe80, 0x64, 0xff9b)),
      {
        minLength: 8,
        maxLength: 8,
      },
    ),
    from: fc.nat({ max: 7 }),
    length: fc.nat({ max: 8 }),
  })
  .map(({ groups, from, length }) => {
    const texts = groups.map((group) => group.toString(16));
    if (length === 0) return `[${texts.join(":")}]`;
    return `[${texts.slice(0, from).join(":")}::${texts.slice(from + length).join(":")}]`;
  });

describe("checkTarget against Node's URL and BlockList", () => {
  it.each([
    ["IPv4", ipv4Arbitrary],
    ["IPv6", ipv6Arbitrary],
  ])("decides as they do for every spelling of %s", (_name, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (host) => {
        const url = `https://${host}/hook`;
        expect(checkTarget(url, { allowLoopback: false }).ok).toBe(oracle(url) === "open");
      }),
      { numRuns: 20_000 },
    );
  });

  it("never throws, and never lets an address through that they block", () => {
    const pieces = fc.constantFrom(
      "https://",
      "http://",
      "HTTPS://",
      "127.0.0.1",
      "[::1]",
      "localhost",
      "@",
      ":",
      "/",
      "//",
      "\\",
      "?",
      "#",
      "%",
      "%2e",
      ".",
      "。",
      "0x7f",
      "1",
      "[",
      "]",
      "::",
      "ffff",
      "example.com",
      "443",
      "99999",
      "\u0000",
      "\u200b",
      "é",
      "🎉",
      "\ud800",
      "a".repeat(300),
    );
    const text = fc.oneof(
      fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join("")),
      fc.array(pieces, { maxLength: 8 }).map((parts) => `https://${parts.join("")}`),
      fc.string({ unit: "binary", maxLength: 60 }),
      fc.webUrl(),
    );
    fc.assert(
      fc.property(text, (url) => {
        if (!checkTarget(url, { allowLoopback: false }).ok) return;
        expect(["open", "name"]).toContain(oracle(url));
        expect(new URL(url).protocol).toBe("https:");
        // What is kept is the URL as the parser writes it; the sender checks that one.
        expect(checkTarget(new URL(url).href, { allowLoopback: false }).ok).toBe(true);
      }),
      { numRuns: 50_000 },
    );
  });
});
