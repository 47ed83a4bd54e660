/** How deep JSON from strangers may nest: far below what makes recursive code run out of stack. */

export const MAX_NESTING = 128;

/** Whether no array or object of `value`, which came out of `JSON.parse`, lies deeper than `levels`. */
export function nestsWithin(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (levels === 0) return false;
  for (const inner of Array.isArray(value) ? value : Object.values(value)) {
    if (typeof inner === "object" && inner !== null && !nestsWithin(inner, levels - 1)) return false;
  }
  return true;
}
