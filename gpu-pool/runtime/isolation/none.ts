/** Nothing keeps a model's process from what the pool's user may do. */
import { IsolationProblem } from "./types.ts";
import type { Isolation } from "./types.ts";

export function noIsolation(why: string): Isolation {
  return {
    kind: "none",
    why,
    jail() {
      throw new IsolationProblem(why);
    },
  };
}
