import fc from "fast-check";
import { expect, it } from "vitest";
import { IndexedHeap } from "./heap.ts";

type Member = { key: number; heapIndex: number };

const action = fc.oneof(
  fc.record({ do: fc.constant("add" as const), key: fc.nat(50) }),
  fc.record({ do: fc.constant("move" as const), nth: fc.nat(30), key: fc.nat(50) }),
  fc.record({ do: fc.constant("remove" as const), nth: fc.nat(30) }),
  fc.record({ do: fc.constant("take" as const) }),
);

it("has the smallest first, whatever is added, changed and taken out, and knows where everything is", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const heap = new IndexedHeap<Member>((a, b) => a.key < b.key);
      const inside = new Set<Member>();
      const gone: Member[] = [];
      const remove = (member: Member): void => {
        heap.remove(member);
        inside.delete(member);
        gone.push(member);
      };
      for (const act of actions) {
        const member = "nth" in act ? [...inside][act.nth] : undefined;
        if (act.do === "add") {
          const added = { key: act.key, heapIndex: -1 };
          inside.add(added);
          heap.add(added);
        } else if (act.do === "take") {
          const first = heap.first();
          if (first !== undefined) remove(first);
        } else if (member === undefined) continue;
        else if (act.do === "remove") remove(member);
        else {
          member.key = act.key;
          heap.moved(member);
        }
        const keys = [...inside].map(({ key }) => key);
        expect([heap.size, heap.first()?.key]).toEqual([inside.size, keys.length > 0 ? Math.min(...keys) : undefined]);
        for (const [index, one] of heap.items().entries()) expect(one.heapIndex).toBe(index);
        expect(new Set(heap.items())).toEqual(inside);
        expect(gone.every(({ heapIndex }) => heapIndex === -1)).toBe(true);
      }
      const order: number[] = [];
      for (let first = heap.first(); first !== undefined; first = heap.first()) {
        order.push(first.key);
        heap.remove(first);
      }
      expect(order).toEqual(order.toSorted((a, b) => a - b));
      expect(order).toHaveLength(inside.size);
    }),
    { numRuns: 300, seed: 20_261_128 },
  );
});

it("leaves alone what is not in it", () => {
  const heap = new IndexedHeap<Member>((a, b) => a.key < b.key);
  const [kept, outside] = [
    { key: 1, heapIndex: -1 },
    { key: 0, heapIndex: -1 },
  ];
  heap.add(kept);
  heap.moved(outside);
  heap.remove(outside);
  expect([heap.first(), heap.size, outside.heapIndex]).toEqual([kept, 1, -1]);
});
