/** The sockets of one session's control channel, and when its pool was heard on them. */
import { defaultRules } from "../shard/rules.ts";

const { leaseMs } = defaultRules;

/**
 * Close codes of the control channel: the pool treats 4400 and 4403 as its own fault, and tries again after others.
 * `left` and `broken` (RFC 6455, section 7.4.1) come from its side.
 */
export const closeCodes = { badMessage: 4400, forbidden: 4403, replaced: 4409, left: 1000, broken: 1006 } as const;

/** By hello, when it was heard; by a ping, the platform knows. */
export function noteHello(socket: WebSocket): void {
  socket.serializeAttachment(Date.now());
}

/** A socket that is being closed still stands in the list; of a connection that broke off, for minutes. */
export function openSockets(ctx: DurableObjectState): WebSocket[] {
  return ctx.getWebSockets().filter((socket) => socket.readyState === WebSocket.OPEN);
}

/**
 * Whether the pool was heard on an open socket within two of its pings' intervals. One that merely stands open may lead
 * nowhere.
 */
export function isHeard(ctx: DurableObjectState): boolean {
  return openSockets(ctx).some((socket) => Date.now() - heardAt(ctx, socket) < (leaseMs * 2) / 3);
}

/** When the pool was last heard on any of them; -Infinity: there is none. */
export function lastHeardAt(ctx: DurableObjectState): number {
  return Math.max(...ctx.getWebSockets().map((socket) => heardAt(ctx, socket)));
}

function heardAt(ctx: DurableObjectState, socket: WebSocket): number {
  const helloAt: unknown = socket.deserializeAttachment();
  const pingedAt = ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
  return typeof helloAt === "number" ? Math.max(helloAt, pingedAt) : pingedAt;
}
