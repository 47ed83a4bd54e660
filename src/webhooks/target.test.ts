import { BlockList, isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkTarget } from "./target.ts";

/** 127.0.0.1 and the cloud's metadata address, as attackers write them. */
const loopbackHosts = [
  "127.0.0.1",
  "127.0.0.2",
  "127.1",
  "127.0.1",
  "127.255.255.255",
  "2130706433",
  "0x7f000001",
  "0x7F.0.0.1",
  "0x7f.1",
  "017700000001",
  "0177.0.0.1",
  "0177.1",
  "0177.0x0.0.1",
  "00000177.0.0.1",
  "127.000.000.001",
  "127.0.0.1.",
  "127.1.",
  "2130706433.",
  "%31%32%37.0.0.1",
  "127%2e0%2e0%2e1",
  "１２７.0.0.1",
  "１２７．０．０．１",
  "127。0。0。1",
  "127．0．0．1",
  "①②⑦.0.0.1",
  "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
  "localhost",
  "LOCALHOST",
  "LocalHost",
  "localhost.",
  "ｌｏｃａｌｈｏｓｔ",
  "loc%61lhost",
  "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
  "[::1]",
  "[0:0:0:0:0:0:0:1]",
  "[0000:0000:0000:0000:0000:0000:0000:0001]",
  "[::0001]",
  "[0::1]",
  "[::0.0.0.1]",
] as const;

const privateHosts = [
  "0.0.0.0",
  "0",
  "0x0",
  "00",
  "0.1.2.3",
  "10.0.0.1",
  "10.255.255.255",
  "10.1",
  "167772161",
  "0xa000001",
  "012.0.0.1",
  "100.64.0.1",
  "100.127.255.254",
  "100.100.100.200",
  "169.254.169.254",
  "169.254.1",
  "2852039166",
  "0xa9fea9fe",
  "0xA9.0xFE.0xA9.0xFE",
  "0251.0376.0251.0376",
  "0251.254.0xa9.254",
  "169.254.43518",
  "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
  "169。254。169。254",
  "172.16.0.1",
  "172.31.255.255",
  "172.16.1",
  "192.0.0.1",
  "192.0.0.192",
  "192.0.2.1",
  "192.88.99.1",
  "192.168.0.1",
  "192.168.1",
  "192.168.65535",
  "3232235521",
  "0xc0a80001",
  "0300.0250.0.1",
  "198.18.0.1",
  "198.19.255.255",
  "198.51.100.7",
  "203.0.113.9",
  "224.0.0.1",
  "239.255.255.255",
  "240.0.0.1",
  "255.255.255.255",
  "4294967295",
  "[::]",
  "[::2]",
  "[::7f00:1]",
  "[::127.0.0.1]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "[::FFFF:7F00:0001]",
  "[0:0:0:0:0:ffff:7f00:1]",
  "[::ffff:10.0.0.1]",
  "[::ffff:169.254.169.254]",
  "[::ffff:a9fe:a9fe]",
  "[::ffff:8.8.8.8]",
  "[::ffff:0:127.0.0.1]",
  "[64:ff9b::127.0.0.1]",
  "[64:ff9b::7f00:1]",
  "[64:ff9b::10.0.0.1]",
  "[64:ff9b::169.254.169.254]",
  "[64:ff9b:1::1]",
  "[100::1]",
  "[2001::1]",
  "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
  "[2001:10::1]",
  "[2001:20::1]",
  "[2001:db8::1]",
  "[2002:7f00:1::]",
  "[2002:7f00:0001::1]",
  "[2002:a00:1::1]",
  "[2002:a9fe:a9fe::1]",
  "[2002:c0a8:1::1]",
  "[3fff::1]",
  "[5f00::1]",
  "[fc00::1]",
  "[fd00::1]",
  "[fd00:ec2::254]",
  "[fd20:ce::254]",
  "[fe80::1]",
  "[fe80::1%25eth0]",
  "[fe80::1%eth0]",
  "[febf::1]",
  "[fec0::1]",
  "[ff02::1]",
  "[ff0e::1]",
  "[ffff::1]",
  "[4000::1]",
  "foo.localhost",
  "foo.localhost.",
  "a.b.LOCALHOST",
  "localhost.localdomain",
  "db.local",
  "printer.lan",
  "nas.home",
  "router.home.arpa",
  "wiki.corp",
  "intranet",
  "server",
  "app.intranet",
  "vault.private",
  "metadata",
  "instance-data",
  "metadata.google.internal",
  "METADATA.GOOGLE.INTERNAL.",
  "metadata.goog",
  "instance-data.ec2.internal",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
  "host.docker.internal",
  "gateway.docker.internal",
  "1.0.0.127.in-addr.arpa",
  "foo.test",
  "foo.invalid",
  "foo.example",
  "foo.onion",
  "foo.alt",
  "127.0.0.1.nip.io",
  "app.10.0.0.1.nip.io",
  "127-0-0-1.sslip.io",
  "localtest.me",
  "foo.localtest.me",
  "lvh.me",
  "a.lvh.me",
  "vcap.me",
  "foo.123",
  "1.2.3.4.5",
  "256.1.1.1",
  "0x100000000",
  "4294967296",
  "a..b.com",
  ".example.com",
  "-foo.com",
  "foo-.com",
  "example.com..",
  "exa\u00admple.local",
  "ｉｎｔｒａ．ｌｏｃａｌ",
  "foo.ｌｏｃａｌｈｏｓｔ",
  "xn--",
  "[",
  "[]",
  "[::1",
  "::1",
] as const;

const refusedUrls = [
  "",
  "x",
  "//example.com/",
  "example.com",
  "/hook",
  "https:",
  "https://",
  "https:///",
  "https:///example.com/",
  "http://",
  "https:example.com",
  "https:/example.com",
  "https:\\\\example.com",
  "https://example.com\\@127.0.0.1/",
  "\thttps://example.com",
  "https://exam\tple.com",
  "https://example.com/\n",
  " https://example.com",
  "https://example.com /",
  "https://exam\u200bple.com/",
  "http://example.com/",
  "http://93.184.216.34/",
  "ftp://example.com/",
  "file:///etc/passwd",
  "gopher://example.com:70/_x",
  "ws://example.com/",
  "wss://example.com/",
  "data:text/plain,x",
  "javascript:alert(1)",
  "blob:https://example.com/1",
  "about:blank",
  "mailto:a@example.com",
  "unix:/var/run/docker.sock",
  "http+unix://%2Fvar%2Frun/",
  "view-source:https://example.com",
  "https://user@example.com/",
  "https://user:pass@example.com/",
  "https://:@example.com/",
  "https://@example.com/",
  "https://example.com@127.0.0.1/",
  "https://10.0.0.1#@example.com/",
  "https://127.0.0.1%2f@example.com/",
  "https://example.com:0/",
  "https://example.com:1/",
  "https://example.com:22/",
  "https://example.com:25/",
  "https://example.com:80/",
  "https://example.com:53/",
  "https://example.com:2375/",
  "https://example.com:3306/",
  "https://example.com:5432/",
  "https://example.com:6379/",
  "https://example.com:9092/",
  "https://example.com:9200/",
  "https://example.com:11211/",
  "https://example.com:27017/",
  "https://example.com:10250/",
  "https://example.com:65536/",
  "https://example.com:-1/",
  "https://example.com:99999999/",
  "https://example.com:abc/",
  "https://example.com:4 43/",
  "https://exa mple.com/",
  "https://exa<mple.com/",
  "https://exa%00mple.com/",
  "https://exa%2Fmple.com/",
  "https://a_b/",
  `https://example.com/${"a".repeat(2048)}`,
] as const;

const accepted = [
  ["https://example.com/hook", "example.com:443"],
  ["https://EXAMPLE.com/hook?x=1#y", "example.com:443"],
  ["https://example.com./hook", "example.com:443"],
  ["https://example.com:443/", "example.com:443"],
  ["https://example.com:8443/", "example.com:8443"],
  ["https://example.com:65535/", "example.com:65535"],
  ["https://a_b.example.com/", "a_b.example.com:443"],
  ["https://münchen.de/", "xn--mnchen-3ya.de:443"],
  ["https://例え.jp/", "xn--r8jz45g.jp:443"],
  ["https://example.xn--p1ai/", "example.xn--p1ai:443"],
  ["https://mylocalhost.com/", "mylocalhost.com:443"],
  ["https://local.example.com/", "local.example.com:443"],
  ["https://8.8.8.8/", "8.8.8.8:443"],
  ["https://134744072/", "8.8.8.8:443"],
  ["https://100.63.255.255/", "100.63.255.255:443"],
  ["https://100.128.0.1/", "100.128.0.1:443"],
  ["https://172.32.0.1/", "172.32.0.1:443"],
  ["https://[2606:4700:4700::1111]/", "[2606:4700:4700::1111]:443"],
  ["https://example.com/a@b", "example.com:443"],
  ["https://example.com/?to=a@b", "example.com:443"],
] as const;

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
      expect(answer.ok).toBe(false);
      if (!answer.ok) expect(answer.reason).not.toBe("");
    }
  });

  it.each(accepted)("accepts %s", (url, host) => {
    expect(checkTarget(url, { allowLoopback: false })).toMatchObject({ ok: true, host });
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
      }),
      { numRuns: 50_000 },
    );
  });
});
