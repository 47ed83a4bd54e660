/**
 * Predictions that were not kept for the index of their account, as too many were kept already: once the index has
 * those, the others are found in the rows, a page whenever there is room for one. Each account is looked for by itself:
 * one whose index stays away holds up no other's.
 */
import type { Outgoing } from "./outgoing.ts";
import { PAGE_ROWS } from "./store.ts";
import type { Store } from "./store.ts";

/** `after`: behind which row the next page begins. */
type Search = { since: number; after: string };

export function createUnkeptSearch({ store, outgoing }: { store: Store; outgoing: Outgoing }) {
  const searches = new Map<string, Search>();

  return {
    /** Whether something is to be found still. */
    isPending: (): boolean => searches.size > 0 || outgoing.unkept.size > 0,

    /** From time to time: begins where there is room again. */
    begin(): void {
      for (const [account, since] of outgoing.unkept) {
        if (searches.has(account) || !outgoing.mayFeed(account, PAGE_ROWS)) continue;
        outgoing.unkept.delete(account);
        searches.set(account, { since, after: "" });
      }
    },

    /** Looks through the next page for one of the accounts; false: there is none with room for it. */
    step(): boolean {
      for (const [account, { since, after }] of searches) {
        if (!outgoing.mayFeed(account, PAGE_ROWS)) continue;
        const { rows, next } = store.unfed(since, after, true);
        for (const row of rows) if (row.accountId === account) outgoing.feed(row);
        if (next === null) searches.delete(account);
        else searches.set(account, { since, after: next });
        return true;
      }
      return false;
    },
  };
}
