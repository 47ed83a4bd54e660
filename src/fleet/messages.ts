/** The texts of the control channel: grants on their way to a pool, and what comes from it. */
import * as z from "zod";
import { commonProtocol, PoolMessageSchema, PROTOCOL } from "../contract/channel.ts";
import type { PoolMessage } from "../contract/channel.ts";
import type { Grant } from "../contract/claim.ts";
import { parseWellFormed } from "../contract/well-formed.ts";

/** Of one message of grants; the platform carries 1 MiB, and a character may take 3 bytes. */
const MAX_MESSAGE_CHARS = 300_000;

const NOT_A_MESSAGE = "not a message of the control channel";
/** A hello of any release; the first of them said no protocol. */
const HelloSchema = z.object({
  type: z.literal("hello"),
  protocol: z.number().default(1),
  oldestProtocol: z.number().optional(),
});
const TypedSchema = z.object({ type: z.string() });
const knownTypes: ReadonlySet<string> = new Set(PoolMessageSchema.options.map(({ shape }) => shape.type.value));

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

/**
 * The message; null: one that only a later edge knows, to be left alone. A text: why it is none, as a close reason, 123
 * bytes at most.
 */
export function parseMessage(data: string | ArrayBuffer): PoolMessage | string | null {
  if (typeof data !== "string") return NOT_A_MESSAGE;
  try {
    const value: unknown = parseWellFormed(data);
    // Whoever speaks no protocol of ours may say hello in another form, too.
    const hello = HelloSchema.safeParse(value);
    if (hello.success && commonProtocol(hello.data) === null) return refusalOf(hello.data.protocol);
    const parsed = PoolMessageSchema.safeParse(value);
    if (parsed.success) return parsed.data;
    const typed = TypedSchema.safeParse(value);
    return typed.success && !knownTypes.has(typed.data.type) ? null : NOT_A_MESSAGE;
  } catch {
    return NOT_A_MESSAGE;
  }
}

function refusalOf(protocol: number): string {
  return protocol < PROTOCOL
    ? `this pool's protocol is ${protocol}, the edge's ${PROTOCOL}: upgrade it to the edge's release, then start it again`
    : `this pool's protocol is ${protocol}, the edge's ${PROTOCOL}: upgrade the edge, or run the pool of its release`;
}
