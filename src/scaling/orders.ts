/** For how long the machines that boot have been doing so: each was ordered at the look before it was first seen. */
export class Orders {
  #atS: number[] = [];
  #lookS: number | null = null;

  /** The sum over all that boot, in seconds. Those that were ordered first serve first. */
  look(nowS: number, booting: number): number {
    if (this.#atS.length > booting) this.#atS = this.#atS.slice(this.#atS.length - booting);
    while (this.#atS.length < booting) this.#atS.push(this.#lookS ?? nowS);
    this.#lookS = nowS;
    let sumS = 0;
    for (const atS of this.#atS) sumS += nowS - atS;
    return sumS;
  }
}
