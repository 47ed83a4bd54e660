/** What a figure must be and what it should be, and how a bench says which of the two it is. */
import { table } from "./stats.ts";

export type Limit = {
  must: number;
  /** Left out where there is no more to wish for. */
  aim?: number;
  /** True for figures of which more is better. */
  isFloor?: boolean;
  /** Written behind the numbers, such as `×`. */
  unit?: string;
};

export type Judged = { isMet: boolean; text: string };

/** `at most 1.5×: met; aim 1.3×: missed`. A figure that isn't a number misses all. */
export function judge(value: number, { must, aim, isFloor = false, unit = "" }: Limit): Judged {
  const reaches = (limit: number) => (isFloor ? value >= limit : value <= limit);
  const say = (limit: number) => `${limit}${unit}: ${reaches(limit) ? "met" : "missed"}`;
  const more = aim === undefined ? "" : `; aim ${say(aim)}`;
  return { isMet: reaches(must), text: `${isFloor ? "at least" : "at most"} ${say(must)}${more}` };
}

/** Prints a table; cells may be verdicts. Answers whether all of these are met. */
export function printJudged(head: readonly string[], rows: readonly (readonly (string | Judged)[])[]): boolean {
  console.log(
    table(
      head,
      rows.map((cells) => cells.map((cell) => (typeof cell === "string" ? cell : cell.text))),
    ),
  );
  return rows.flat().every((cell) => typeof cell === "string" || cell.isMet);
}
