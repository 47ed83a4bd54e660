/** Money as the contract has it: whole billionths. */
const NANO = 1e9;

export function nanoOf(amount: number): number {
  return Math.round(amount * NANO);
}
