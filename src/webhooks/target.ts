/**
 * Where the edge may send a request that a client named: public HTTPS receivers, and nothing of the operator's own
 * network. This looks at the URL only. A public name that resolves to a private address is stopped on the way out, by a
 * network path that reaches public addresses only.
 */
import { isLoopbackIpv4, isLoopbackIpv6, isPublicIpv4, isPublicIpv6, parseIpv4, parseIpv6 } from "./address.ts";

export type TargetOptions = {
  /** True lets `http` and `https` reach loopback, for a stack on one machine; nothing else is let through by it. */
  allowLoopback: boolean;
};

export type TargetAnswer =
  /** `host` is lower-case `host:port`: one receiver. */
  | { ok: true; url: URL; host: string }
  /** `reason` is written for whoever sent the URL. */
  | { ok: false; reason: string };

export const MAX_URL_LENGTH = 2048;

/**
 * Top-level names and suffixes that never mean a public host (RFC 6761, RFC 6762, RFC 8375, RFC 9476; Kubernetes;
 * ICANN's private use).
 */
const privateSuffixes = [
  "localhost",
  "localdomain",
  "local",
  "internal",
  "intranet",
  "private",
  "corp",
  "home",
  "lan",
  "home.arpa",
  "in-addr.arpa",
  "ip6.arpa",
  "svc",
  "cluster.local",
  "test",
  "invalid",
  "example",
  "alt",
  "onion",
  "metadata.goog",
] as const;

/** Public names that are made to resolve to whatever address, loopback above all, is written in them. */
const rebindingSuffixes = [
  "nip.io",
  "sslip.io",
  "xip.io",
  "localtest.me",
  "lvh.me",
  "vcap.me",
  "lacolhost.com",
  "fuf.me",
  "yoogle.com",
  "localho.st",
  "local.gd",
  "traefik.me",
  "rbndr.us",
] as const;

/**
 * Ports under 1024 besides 443 are other services' ports; these above it too (the Fetch standard's bad ports,
 * databases, control planes).
 */
const servicePorts: ReadonlySet<number> = new Set([
  1433, 1521, 1719, 1720, 1723, 2049, 2181, 2375, 2376, 2377, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061,
  5432, 5672, 5900, 5984, 6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 7000, 7001, 8500, 9042,
  9092, 9100, 9200, 9300, 10080, 10250, 10255, 11211, 15672, 27017, 27018, 50070,
]);

/** Decides whether `text` may be called. Nothing is resolved and nothing is sent. */
export function checkTarget(text: string, options: TargetOptions): TargetAnswer {
  if (text.length > MAX_URL_LENGTH) return refuse(`it is longer than ${MAX_URL_LENGTH} characters`);
  if (/[\s\\\p{Cc}\p{Cf}]/u.test(text)) return refuse("it holds white space, a control character or a backslash");
  if (!/^https?:\/\/[^/]/i.test(text)) return refuse("it must begin with https://");
  if (!URL.canParse(text)) return refuse("it is not a URL");
  const url = new URL(text);
  // What is kept is the URL as a parser writes it, and that must pass here again.
  if (url.href.length > MAX_URL_LENGTH)
    return refuse(`it is longer than ${MAX_URL_LENGTH} characters when written in ASCII`);
  if (url.username !== "" || url.password !== "" || authority(text).includes("@")) {
    return refuse("it holds credentials; receivers know a message by its signature");
  }
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const place = placeOf(url.hostname);
  if (place === "loopback" && options.allowLoopback) {
    return port > 0 && !servicePorts.has(port) ? allow(url, port) : refuse(`port ${port} belongs to another service`);
  }
  if (place !== "public") return refuse("it names a host of a private network");
  if (url.protocol !== "https:") return refuse("it must begin with https://");
  if (port !== 443 && (port < 1024 || servicePorts.has(port))) {
    return refuse(`port ${port} belongs to another service; use 443 or one above 1023`);
  }
  return allow(url, port);
}

function placeOf(hostname: string): "public" | "loopback" | "private" {
  if (hostname.startsWith("[")) {
    const ipv6 = parseIpv6(hostname.slice(1, -1));
    if (ipv6 === null) return "private";
    return isLoopbackIpv6(ipv6) ? "loopback" : isPublicIpv6(ipv6) ? "public" : "private";
  }
  const ipv4 = parseIpv4(hostname);
  if (ipv4 !== null) return isLoopbackIpv4(ipv4) ? "loopback" : isPublicIpv4(ipv4) ? "public" : "private";
  const name = hostname.replace(/\.$/, "");
  if (name === "localhost") return "loopback";
  const labels = name.split(".");
  if (labels.length < 2 || labels.some((label) => !/^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)))
    return "private";
  if (!/^([a-z]{2,63}|xn--[a-z0-9-]+)$/.test(labels.at(-1) ?? "")) return "private";
  const suffixes = [...privateSuffixes, ...rebindingSuffixes];
  return suffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`)) ? "private" : "public";
}

function authority(text: string): string {
  return text.replace(/^https?:\/\//i, "").split(/[/?#]/, 1)[0] ?? "";
}

function allow(url: URL, port: number): TargetAnswer {
  return { ok: true, url, host: `${url.hostname.toLowerCase().replace(/\.$/, "")}:${port}` };
}

function refuse(reason: string): TargetAnswer {
  return { ok: false, reason };
}
