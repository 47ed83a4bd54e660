/** IP addresses and ranges of them: IPv4 dotted, IPv6 by RFC 4291, ranges by RFC 4632. */

/** 16 bytes; an IPv4 address is mapped into ::ffff:0:0/96, as sockets that take both show it. */
export type Address = Uint8Array;
export type Range = { base: Address; bits: number };

const V4_OFFSET = 12;
const V6_GROUPS = 8;

/** The address that `text` is; null when it is none. A zone (`%eth0`) is none. */
export function parseAddress(text: string): Address | null {
  return text.includes(":") ? parseV6(text) : mapped(parseV4(text));
}

/** The range that `text` is: an address, or an address and a prefix length. Null when it is none. */
export function parseRange(text: string): Range | null {
  const [, address = "", prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const base = parseAddress(address);
  if (base === null) return null;
  const longest = address.includes(":") ? 128 : 32;
  const length = prefix === undefined ? longest : Number(prefix);
  return length > longest ? null : { base, bits: length + (128 - longest) };
}

export function contains({ base, bits }: Range, address: Address): boolean {
  const whole = bits >> 3;
  for (let at = 0; at < whole; at += 1) if (base[at] !== address[at]) return false;
  const rest = bits & 7;
  if (rest === 0) return true;
  const mask = 0xff << (8 - rest);
  return ((base[whole] ?? 0) & mask) === ((address[whole] ?? 0) & mask);
}

function parseV4(text: string): number[] | null {
  const parts = text.split(".");
  // A leading zero is octal to some and decimal to others: nobody's rule may hang on that.
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return null;
  return parts.map(Number);
}

function mapped(v4: number[] | null): Address | null {
  if (v4 === null) return null;
  const address = new Uint8Array(16);
  address.set([0xff, 0xff, ...v4], V4_OFFSET - 2);
  return address;
}

function parseV6(text: string): Address | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map((half) => (half === "" ? [] : groupsOf(half)));
  if (head === null || head === undefined || tail === null) return null;
  if (tail === undefined) return head.length === V6_GROUPS ? bytesOf(head) : null;
  const missing = V6_GROUPS - head.length - tail.length;
  return missing < 1 ? null : bytesOf([...head, ...Array.from({ length: missing }, () => 0), ...tail]);
}

/** The 16-bit groups of a part of an IPv6 address, whose end may be written as IPv4. */
function groupsOf(text: string): number[] | null {
  const parts = text.split(":");
  const last = parts.at(-1) ?? "";
  const v4 = last.includes(".") ? parseV4(last) : null;
  if (last.includes(".")) {
    if (v4 === null) return null;
    const [a = 0, b = 0, c = 0, d = 0] = v4;
    parts.splice(-1, 1, (a * 256 + b).toString(16), (c * 256 + d).toString(16));
  }
  if (!parts.every((part) => /^[0-9a-f]{1,4}$/i.test(part))) return null;
  return parts.map((part) => Number.parseInt(part, 16));
}

function bytesOf(groups: readonly number[]): Address {
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}
