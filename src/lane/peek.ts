/**
 * What waits, oldest first, of many flows. Each flow is stored in that order, so that they are merged, and no more is
 * read than is asked for: a head of each flow, and a page of each that comes to the front.
 */
import { IndexedHeap } from "./heap.ts";
import type { HeapMember } from "./heap.ts";
import type { Rows, Waiting } from "./rows.ts";

/** Rows of a flow that are read at once. */
const PAGE = 16;

type Place = { createdAt: number; id: string };
/** `page`: what comes next of the flow; `at`: its first, or, before it is read, nothing that comes after its first. */
type Line<F> = HeapMember & { flow: F; at: Place; page: Waiting[] };

/** Of the flows together, those from place `offset` on, at most `limit`. */
export function oldest<F extends { flow: number }>(
  rows: Pick<Rows, "heads" | "read">,
  flows: readonly F[],
  offset: number,
  limit: number,
): { flow: F; waiting: Waiting }[] {
  const lines = new IndexedHeap<Line<F>>((a, b) => isBefore(a.at, b.at));
  const heads = rows.heads(flows.map(({ flow }) => flow));
  for (const flow of flows) {
    const createdAt = heads.get(flow.flow);
    // No id comes before the empty one.
    if (createdAt !== undefined) lines.add({ heapIndex: -1, flow, at: { createdAt, id: "" }, page: [] });
  }
  const found: { flow: F; waiting: Waiting }[] = [];
  let place = 0;
  while (found.length < limit) {
    const line = lines.first();
    if (line === undefined) break;
    if (line.page.length === 0) {
      line.page = rows.read(line.flow.flow, line.at, PAGE);
      const [first] = line.page;
      if (first === undefined) lines.remove(line);
      else moveTo(line, first);
      continue;
    }
    const waiting = line.page.shift();
    if (waiting === undefined) continue;
    if (place >= offset) found.push({ flow: line.flow, waiting });
    place += 1;
    moveTo(line, line.page[0] ?? waiting);
  }
  return found;

  function moveTo(line: Line<F>, at: Place): void {
    line.at = at;
    lines.moved(line);
  }
}

function isBefore(a: Place, b: Place): boolean {
  return a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id);
}
