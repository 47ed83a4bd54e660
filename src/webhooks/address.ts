/** Which IP addresses belong to the public internet. */
import { specialIpv4, specialIpv6 } from "../contract/special-addresses.ts";

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
