import fc from "fast-check";
import { expect, it } from "vitest";
import { EventHeap } from "./event-heap.ts";

it("gives events out by time, equal ones as they came, however pushes and pops are mixed", () => {
  const steps = fc.array(fc.oneof(fc.constant(null), fc.nat(5)), { maxLength: 400 });
  fc.assert(
    fc.property(steps, (timesS) => {
      const heap = new EventHeap();
      const expected: { atS: number; id: number }[] = [];
      for (const [id, atS] of [...timesS, ...timesS.map(() => null)].entries()) {
        if (atS !== null) {
          heap.push(atS, id % 3, id);
          expected.push({ atS, id });
          continue;
        }
        const first = expected.toSorted((a, b) => a.atS - b.atS || a.id - b.id)[0];
        expect(heap.nextS).toBe(first?.atS ?? Infinity);
        if (first === undefined) continue;
        heap.pop();
        expect([heap.id, heap.kind]).toEqual([first.id, first.id % 3]);
        expected.splice(expected.indexOf(first), 1);
      }
      expect(heap.nextS).toBe(Infinity);
    }),
    { numRuns: 50 },
  );
});
