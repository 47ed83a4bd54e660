/** So many machines, always. */
import { Rule } from "./rule.ts";

export class Fixed extends Rule {
  readonly #count: number;

  constructor(count: number) {
    super();
    this.#count = count;
  }

  override machines(): number {
    return this.#count;
  }

  override wakeAtS(nowS: number): number {
    return nowS;
  }
}
