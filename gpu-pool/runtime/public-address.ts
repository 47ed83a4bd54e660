/**
 * Which addresses are public. What a client names is fetched from nowhere else: a pool stands in somebody's network.
 */
import { BlockList, isIP } from "node:net";
import { specialIpv4, specialIpv6 } from "../../src/contract/special-addresses.ts";

const notPublic = new BlockList();
for (const [net, prefix] of specialIpv4) notPublic.addSubnet(net, prefix, "ipv4");
for (const [net, prefix] of specialIpv6) notPublic.addSubnet(net, prefix, "ipv6");
const globalUnicast = new BlockList();
globalUnicast.addSubnet("2000::", 3, "ipv6");

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether `address` (an IP) may be fetched from: public, or loopback where that is allowed. */
export function mayFetchFrom(address: string, allowLoopback: boolean): boolean {
  const family = isIP(address);
  // One with a zone (`fe80::1%eth0`) is of one link.
  if (family === 0 || address.includes("%")) return false;
  const type = family === 4 ? "ipv4" : "ipv6";
  if (allowLoopback && loopback.check(address, type)) return true;
  if (family === 6 && !globalUnicast.check(address, "ipv6")) return false;
  return !notPublic.check(address, type);
}
