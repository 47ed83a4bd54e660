/** The texts of the control channel: grants on their way to a pool, and what comes from it. */
import * as z from "zod";
import { PoolMessageSchema, PROTOCOL } from "../contract/channel.ts";
import type { PoolMessage } from "../contract/channel.ts";
import type { Grant } from "../contract/claim.ts";
import { parseWellFormed } from "../contract/well-formed.ts";

/** Of one message of grants; the platform carries 1 MiB, and a character may take 3 bytes. */
const MAX_MESSAGE_CHARS = 300_000;

const NOT_A_MESSAGE = "not a message of the control channel";
/** A hello of any release. */
const HelloSchema = z.object({ type: z.literal("hello"), protocol: z.number().optional() });

/** Grants as the texts of messages, each within what a message may carry. */
export function* messagesOf(grants: readonly Grant[]): Generator<string> {
  let texts: string[] = [];
  let chars = 0;
  const message = () => `{"type":"grants","grants":[${texts.join(",")}]}`;
  for (const grant of grants) {
    const text = JSON.stringify(grant);
    if (texts.length > 0 && chars + text.length > MAX_MESSAGE_CHARS) {
      yield message();
      texts = [];
      chars = 0;
    }
    texts.push(text);
    chars += text.length;
  }
  if (texts.length > 0) yield message();
}

/** The message, or why it is none: a close reason, 123 bytes at most. */
export function parseMessage(data: string | ArrayBuffer): PoolMessage | string {
  if (typeof data !== "string") return NOT_A_MESSAGE;
  try {
    const value: unknown = parseWellFormed(data);
    const parsed = PoolMessageSchema.safeParse(value);
    if (parsed.success) return parsed.data;
    const hello = HelloSchema.safeParse(value);
    return hello.success && hello.data.protocol !== PROTOCOL
      ? `this pool speaks another protocol than ${PROTOCOL}: upgrade it to the edge's release, then start it again`
      : NOT_A_MESSAGE;
  } catch {
    return NOT_A_MESSAGE;
  }
}
