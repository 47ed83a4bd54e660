/**
 * Machines that a class was to have for versions that name none, and that nobody can give now: they are rented in the
 * next class that may run them, the cheapest first, and there in the next, until their own class has them.
 */
import type { Resolved } from "./wishes.ts";

/** Of one machine; `share`: of its time. */
export type Unrented = { model: string; share: number };
type Spill = Unrented & { to: string };

export class Spills {
  /** By the class that can't give them. */
  readonly #from = new Map<string, Spill[]>();

  /** `unrented`: what the class can't give at this look, instead of what it could not before. */
  note(from: string, unrented: readonly Unrented[], resolved: (key: string) => Resolved): void {
    const spills = unrented.flatMap(({ model, share }) => {
      const { hardware, others } = resolved(model);
      const classes = [hardware, ...others];
      const at = classes.indexOf(from);
      const to = at < 0 ? undefined : classes[at + 1];
      return typeof to === "string" ? [{ model, share, to }] : [];
    });
    if (spills.length === 0) this.#from.delete(from);
    else this.#from.set(from, spills);
  }

  /** Forgets what other classes than these can't give: nobody asks them any longer. */
  keepOf(classes: readonly string[]): void {
    for (const from of this.#from.keys()) if (!classes.includes(from)) this.#from.delete(from);
  }

  /** What a class is to have of a version instead of others: machines' time, and machines. */
  at(key: string, hardware: string): { machines: number; copies: number } {
    const own = [...this.#from.values()].flat().filter(({ model, to }) => model === key && to === hardware);
    return { machines: own.reduce((sum, { share }) => sum + share, 0), copies: own.length };
  }

  /** Classes that a version's machines are rented in, besides its own. */
  classesOf(key: string): string[] {
    return [...this.#from.values()].flat().flatMap(({ model, to }) => (model === key ? [to] : []));
  }
}
