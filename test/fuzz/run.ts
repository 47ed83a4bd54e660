/** Runs all decoders over a number of inputs, each by its share. */
import { clientDecoders } from "./client-decoders.ts";
import type { Decoder } from "./decoder.ts";
import { poolDecoders } from "./pool-decoders.ts";

export const decoders: readonly Decoder[] = [...clientDecoders, ...poolDecoders];

const shares = decoders.reduce((sum, { share }) => sum + share, 0);

/** How many of `total` inputs a decoder gets. */
export function inputsOf(one: Decoder, total: number): number {
  return Math.ceil((total * one.share) / shares);
}
