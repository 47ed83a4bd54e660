/** Which IP addresses belong to the public internet: the IANA special-purpose registries (RFC 6890), as of 2025. */

/** Not globally reachable, as [network, prefix length]. */
const specialIpv4 = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const;

/** Within 2000::/3, which alone is public, what isn't: Teredo and other protocol assignments, documentation, 6to4. */
const specialIpv6 = [
  ["2001:0:0:0:0:0:0:0", 23],
  ["2001:db8:0:0:0:0:0:0", 32],
  ["2002:0:0:0:0:0:0:0", 16],
  ["3fff:0:0:0:0:0:0:0", 20],
] as const;

/** Reads dotted decimal as a URL parser writes it; null when `host` is something else. */
export function parseIpv4(host: string): number[] | null {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(host)) return null;
  return host.split(".").map(Number);
}

/** Reads an IPv6 address as a URL parser writes it, without brackets, as eight groups; null when it is none. */
export function parseIpv6(host: string): number[] | null {
  if (!/^[0-9a-f:]+$/.test(host)) return null;
  const [head = "", tail] = host.split("::");
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const missing = 8 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  return [...before, ...Array.from({ length: missing }, () => 0), ...after];
}

export function isPublicIpv4(octets: readonly number[]): boolean {
  return !specialIpv4.some(([network, bits]) => covers(network.split(".").map(Number), bits, octets, 8));
}

export function isPublicIpv6(address: readonly number[]): boolean {
  if (((address[0] ?? 0) & 0xe000) !== 0x2000) return false;
  return !specialIpv6.some(([network, bits]) => covers(groups(network), bits, address, 16));
}

export function isLoopbackIpv4(octets: readonly number[]): boolean {
  return octets[0] === 127;
}

export function isLoopbackIpv6(address: readonly number[]): boolean {
  return address.every((group, index) => group === (index === 7 ? 1 : 0));
}

function groups(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

function covers(network: readonly number[], bits: number, address: readonly number[], width: number): boolean {
  return network.every((part, index) => {
    const fixed = Math.min(Math.max(bits - index * width, 0), width);
    const mask = ((1 << fixed) - 1) << (width - fixed);
    return ((part ^ (address[index] ?? 0)) & mask) === 0;
  });
}
