/** Environments that other hosts have built, as the builder of environments sees them. */
import type { LayerWish } from "./layer-key.ts";

/** An environment that was built on this host, and that others may want. */
export type BuiltHere = {
  dir: string;
  /** In milliseconds since the epoch. */
  builtAtMs: number;
  buildMs: number;
  /** Keeps it from being taken away until the answer is called; null: it is going. */
  hold(): (() => void) | null;
};

export type Layers = {
  /** One that is stored and runs on this host; null: there is none, or nobody can say. */
  find(wish: LayerWish): Promise<StoredEnvironment | null>;
  /** Takes note of one, and stores it when there is time for that, if nobody has. Never waits, and never throws. */
  offer(wish: LayerWish, built: BuiltHere): void;
  /** Takes note of why an environment is of no use to other hosts, for the operator. */
  keepHere(why: string): void;
};

export type StoredEnvironment = {
  bytes: number;
  /** Puts its files into the folder, which holds a bare environment. Throws why that can't be. */
  unpack(dir: string, say: (line: string) => void): Promise<void>;
};
