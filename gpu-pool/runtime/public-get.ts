/** A GET to an address that others name: the connection goes to what was checked, and to public addresses only. */
import * as http from "node:http";
import * as https from "node:https";
import { isIP } from "node:net";
import type { LookupFunction } from "node:net";
import type { Network } from "./download.ts";

/** The address isn't public, or there is none: the two are told alike. */
export class NotPublic extends Error {
  override readonly name = "NotPublic";
}

export type PublicGet = {
  allowed(ip: string): boolean;
  network: Network;
  headers: Record<string, string>;
  signal: AbortSignal;
};

/** Follows no redirect. Throws `NotPublic`, or what the connection broke of. */
export function publicGet(
  address: URL,
  { allowed, network, headers, signal }: PublicGet,
): Promise<http.IncomingMessage> {
  const refusal = new NotPublic(`${address.host} does not lead to a public address`);
  const host = address.hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) !== 0 && !allowed(host)) throw refusal;
  const checkedLookup: LookupFunction = (hostname, options, done) => {
    network.lookup(hostname, (error, found) => {
      const [first] = found ?? [];
      if (error !== null || first === undefined || found.some((entry) => !allowed(entry.address))) done(refusal, []);
      else if (options.all === true) done(null, found);
      else done(null, first.address, first.family);
    });
  };
  return new Promise((resolve, reject) => {
    const transport = address.protocol === "https:" ? https : http;
    const agent = network.agent(address.protocol);
    transport.get(address, { headers, lookup: checkedLookup, signal, agent }, resolve).once("error", reject);
  });
}
