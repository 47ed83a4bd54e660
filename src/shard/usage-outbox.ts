/**
 * Usage that the accounts' objects don't have yet. The rows are the outbox: each entry carries its number in the
 * shard's one sequence, and a mark says up to which number all was taken. It is set when the first of a while ends, and
 * cleared when nothing has ended for some seconds: a shard in use writes nothing for it. Only a shard that finds the
 * mark when it starts, and an account that fell behind by more than is kept in memory, have the rows looked through, a
 * page at a time.
 *
 * An account is handed its entries in the order of their numbers, so that its object knows by the highest which ones it
 * has. One whose object is away holds up no other's.
 *
 * Numbers follow the clock, in microseconds at the time of a start: a shard that was put back from a backup gives none
 * that it gave before.
 */
import type { Row } from "./row.ts";
import type { Sql } from "./sql.ts";
import { PAGE_ROWS } from "./store.ts";
import { unpackUsage } from "./usage.ts";
import type { PackedUsage } from "./usage.ts";

/** Of one account, that are kept in memory; those beyond are found in the rows again. */
const MAX_WAITING = 2000;
/** Taken entries after which the mark says so, even while more wait. */
const NOTE_EVERY = 500;
/** Numbers that a mark covers beyond the last that was given. */
const RESERVED = 100_000;
const US_PER_MS = 1000;

export type WaitingUsage = { id: string; n: number };
type Lists = Map<string, WaitingUsage[]>;
/**
 * `from`: per account since which number its rows are looked for; `all`: since which those of any account are. `fresh`:
 * what came since it began. `cuts`: the first number of what is left for the next search.
 */
type Search = {
  after: string;
  upTo: number;
  from: ReadonlyMap<string, number>;
  all: number | null;
  found: Lists;
  fresh: Lists;
  cuts: Map<string, number>;
};

export type UsageOutbox = ReturnType<typeof createUsageOutbox>;

/** `active` false: usage stays in its rows. */
export function createUsageOutbox(sql: Sql, now: () => number, active: boolean) {
  const [mark] = sql("SELECT taken, pending, reserved FROM usage_mark");
  let taken = Number(mark?.["taken"] ?? 0);
  let isMarked = active && mark?.["pending"] === 1;
  let reserved = isMarked ? Number(mark?.["reserved"] ?? taken) : taken;
  let last = Math.max(reserved, now() * US_PER_MS);
  let settledSince = 0;
  let isUsed = false;
  const waiting: Lists = new Map();
  /** Accounts of which rows hold more than `waiting` does: the first number of it. */
  const unkept = new Map<string, number>();
  /** After a start: rows of any account may hold entries from this number on. */
  let unseen: number | null = isMarked ? taken + 1 : null;
  let search: Search | null = null;

  function note(pending: boolean): void {
    reserved = pending ? last + RESERVED : last;
    taken = firstPending() - 1;
    sql("INSERT OR REPLACE INTO usage_mark VALUES (1, ?, ?, ?)", taken, pending ? 1 : 0, reserved);
    isMarked = pending;
    settledSince = 0;
  }

  /** The lowest number that may not be taken. */
  function firstPending(): number {
    const heads = [...waiting.values()].map((list) => list[0]?.n ?? Infinity);
    const searched = [search?.all ?? Infinity, ...(search?.from.values() ?? [])];
    return Math.min(last + 1, unseen ?? Infinity, ...searched, ...heads, ...unkept.values());
  }

  /** The lowest number of the account's that may not be taken; infinite: it has all. */
  function pendingFrom(account: string): number {
    const head = waiting.get(account)?.[0]?.n ?? Infinity;
    return Math.min(head, unkept.get(account) ?? Infinity, unseen ?? Infinity, searchedFrom(account));
  }

  /** Since which number the account's rows are being looked for; infinite: they are not. */
  function searchedFrom(account: string): number {
    return Math.min(search?.from.get(account) ?? Infinity, search?.all ?? Infinity);
  }

  function push(account: string, entry: WaitingUsage): void {
    const current = searchedFrom(account) < Infinity ? search : null;
    if (current === null && (unseen !== null || unkept.has(account))) return;
    const lists = current?.fresh ?? waiting;
    const cuts = current?.cuts ?? unkept;
    const list = lists.get(account) ?? [];
    if (cuts.has(account) || list.length >= MAX_WAITING) {
      cuts.set(account, Math.min(cuts.get(account) ?? Infinity, entry.n));
      return;
    }
    list.push(entry);
    lists.set(account, list);
  }

  /** Rows are to be looked through for those who have nothing left in memory. */
  function begin(): void {
    if (search !== null) return;
    const from = new Map([...unkept].filter(([account]) => !waiting.has(account)));
    if (unseen === null && from.size === 0) return;
    search = { after: "", upTo: last, from, all: unseen, found: new Map(), fresh: new Map(), cuts: new Map() };
    for (const account of from.keys()) unkept.delete(account);
    unseen = null;
  }

  function look(current: Search): void {
    const page = sql(
      `SELECT id, accepted ->> 'accountId' AS account, accepted ->> 'createdAt' AS created_at, changing -> 'usage' AS usage
       FROM prediction WHERE id > ? ORDER BY id LIMIT ?`,
      current.after,
      PAGE_ROWS,
    );
    for (const row of page) {
      if (row["usage"] === null || row["usage"] === undefined) continue;
      const packed = JSON.parse(String(row["usage"])) as PackedUsage[];
      const entries = packed.map((one) => unpackUsage(one, Number(row["created_at"])));
      keep(
        current,
        String(row["account"]),
        entries.map(({ n = 0 }) => ({ id: String(row["id"]), n })),
      );
    }
    current.after = String(page.at(-1)?.["id"] ?? current.after);
    if (page.length < PAGE_ROWS) finish(current);
  }

  function keep({ from, all, upTo, found, cuts }: Search, account: string, entries: WaitingUsage[]): void {
    const least = Math.min(from.get(account) ?? Infinity, all ?? Infinity);
    const list = found.get(account) ?? [];
    list.push(...entries.filter(({ n }) => n >= least && n <= upTo));
    if (list.length === 0) return;
    found.set(account, list);
    if (list.length < 2 * MAX_WAITING) return;
    list.sort(byNumber);
    const [cut] = list.splice(MAX_WAITING);
    if (cut !== undefined) cuts.set(account, Math.min(cut.n, cuts.get(account) ?? Infinity));
  }

  function finish({ found, fresh, cuts }: Search): void {
    search = null;
    for (const account of new Set([...found.keys(), ...fresh.keys(), ...cuts.keys()])) {
      const list = [...(found.get(account) ?? []).toSorted(byNumber), ...(fresh.get(account) ?? [])];
      const cut = Math.min(cuts.get(account) ?? Infinity, list[MAX_WAITING]?.n ?? Infinity);
      const kept = list.filter(({ n }) => n < cut);
      if (kept.length > 0) waiting.set(account, kept);
      if (cut < Infinity) unkept.set(account, cut);
    }
  }

  return {
    /** The row is about to be stored: its new entries get their numbers. */
    add(row: Row): void {
      const fresh = row.usage?.filter(({ n }) => n === undefined) ?? [];
      if (!active || fresh.length === 0) return;
      isUsed = true;
      const pending = pendingFrom(row.accountId);
      const left = row.usage?.filter(({ n }) => n === undefined || n >= pending) ?? [];
      row.usage = left;
      for (const entry of fresh) {
        last += 1;
        entry.n = last;
        push(row.accountId, { id: row.id, n: last });
        if (!isMarked || last >= reserved) note(true);
      }
    },

    /** Accounts that have entries waiting. */
    accounts: (): string[] => [...waiting.keys()],

    /** The account's first entries, at most `limit`, in the order of their numbers. */
    first: (account: string, limit: number): readonly WaitingUsage[] => (waiting.get(account) ?? []).slice(0, limit),

    /** The account's object has these, which `first` answered. */
    settle(account: string, entries: readonly WaitingUsage[]): void {
      const list = waiting.get(account);
      list?.splice(0, entries.length);
      if (list?.length === 0) waiting.delete(account);
      settledSince += entries.length;
      if (settledSince >= NOTE_EVERY) note(true);
    },

    /** Whether rows are to be looked through. */
    isBehind: (): boolean => search !== null || unseen !== null || [...unkept.keys()].some((one) => !waiting.has(one)),

    /** Looks through the next page of rows. */
    search(): void {
      begin();
      if (search !== null) look(search);
    },

    isPending: (): boolean => waiting.size > 0 || unkept.size > 0 || unseen !== null || search !== null,

    /** Whether the row's data must stay because its account's object doesn't have its usage. */
    holds: ({ accountId, usage }: Row): boolean => {
      const pending = pendingFrom(accountId);
      return usage?.some(({ n }) => n !== undefined && n >= pending) ?? false;
    },

    /** From time to time: where nothing came since the last time, and all was taken, a start need not look. */
    rest(): void {
      if (isMarked && !isUsed && !this.isPending()) note(false);
      isUsed = false;
    },
  };
}

function byNumber(a: WaitingUsage, b: WaitingUsage): number {
  return a.n - b.n;
}
