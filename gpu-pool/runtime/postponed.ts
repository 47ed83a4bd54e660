/** A process can't be started for now, which is no fault of its model: it is tried again later. */
export class Postponed extends Error {
  override readonly name = "Postponed";
}
