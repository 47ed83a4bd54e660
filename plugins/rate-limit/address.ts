/**
 * Which callers of an address count as one: one IPv4 address, or the /64 of an IPv6 one, which is what one host gets.
 */

const GROUPS = 8;
const GROUPS_OF_64 = 4;

export function addressOf(ip: string): string {
  if (!ip.includes(":")) return ip;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped !== undefined) return mapped;
  const [before = "", after] = ip.split("::");
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  const zeros = after === undefined ? 0 : Math.max(0, GROUPS - head.length - tail.length);
  const groups = [...head, ...Array.from({ length: zeros }, () => "0"), ...tail];
  return `${groups.slice(0, GROUPS_OF_64).map(plain).join(":")}::/64`;
}

function plain(group: string): string {
  return group.toLowerCase().replace(/^0+(?=.)/, "");
}
