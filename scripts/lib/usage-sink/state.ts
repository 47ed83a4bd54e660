/** Where a sink has come to, in a file that is whole at any time. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import * as z from "zod";

const OffsetsSchema = z.record(z.string().regex(/^\d+$/), z.number().int().nonnegative());

/**
 * `offsets`: by partition, the next to read. `sending`: since when the records up to these offsets are being sent; they
 * may have arrived.
 */
const StateSchema = z.object({
  v: z.literal(1),
  topic: z.string(),
  offsets: OffsetsSchema,
  sending: z.object({ since: z.number().int(), upTo: OffsetsSchema }).nullable(),
});
export type SinkState = z.output<typeof StateSchema>;

/** Throws when the file is there and says nothing that can be read: to begin anew would send all again. */
export function readState(path: string, topic: string): SinkState {
  if (!existsSync(path)) return { v: 1, topic, offsets: {}, sending: null };
  const state = StateSchema.safeParse(parsed(readFileSync(path, "utf8")));
  if (state.success && state.data.topic === topic) return state.data;
  throw new Error(
    `${path} is no state of a sink of the topic ${topic}: put its copy back, or remove it to begin with the oldest records`,
  );
}

/** Answers when it is on disk. */
export function writeState(path: string, state: SinkState): void {
  const file = openSync(`${path}.new`, "w");
  try {
    writeSync(file, `${JSON.stringify(state)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.new`, path);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
