/**
 * Decides reservations in the isolate. Windows are decided from leases, units that a store has handed to this isolate:
 * while they last, nobody is asked. Otherwise all subjects are asked at once for what is missing, and what one of them
 * gives goes back when another one refuses. An isolate asks for as much more as it used in the last seconds, and gets
 * it only while plenty is left: near the end each request is decided by the store, exactly. A refusal waits for no
 * subject that hangs: what that one gives after all goes back behind the answer.
 */
import { isMoney } from "../../plugins/kernel/allowance.ts";
import { NotEndedError } from "../../plugins/kernel/reservations.ts";
import { within } from "../shard/within.ts";
import { createLeasePool, isAskedForEachTime } from "./lease-pool.ts";
import type { AllowanceStore, Ask, BucketState, Charge, Decision, GiveBack, Group, GroupAnswer } from "./types.ts";
import type { Reservation, Settlement } from "./types.ts";

/** What one subject is asked for; `indexes` are those of the charges, `own` what of each was leased before. */
type Asked = { subject: string; indexes: number[]; charges: Charge[]; own: number[]; group: Group };
type Answered = PromiseSettledResult<GroupAnswer>;
/** `answers` come one by one, and `done` when all have come, and are undone where they have to be. */
type Asking = {
  answers: (Answered | undefined)[];
  refused: Promise<void>;
  answered: Promise<void>;
  done: Promise<void>;
};

/**
 * `refusedMs`: how long a refusal waits for the answers of other subjects; left out, until they come. `behind`: keeps
 * what goes on behind an answer from ending with its request. `settleMs`: how long a subject may take to end
 * reservations; left out, as long as it likes.
 */
type AllowanceOptions = { refusedMs?: number; behind?: (work: Promise<void>) => void; settleMs?: number };

export type Allowances = ReturnType<typeof createAllowances>;

export function createAllowances(
  store: AllowanceStore,
  clock: () => number = Date.now,
  { refusedMs = Infinity, behind = () => {}, settleMs = Infinity }: AllowanceOptions = {},
) {
  const pool = createLeasePool();

  /** Nobody need be asked about what is larger than its limit. */
  function neverFits(charges: readonly Charge[], now: number): Decision | null {
    const by = charges.findIndex(({ amount, spec }) => !isMoney(spec) && amount > spec.limit);
    if (by < 0) return null;
    return { ok: false, by, retryAfterMs: null, states: charges.map((one) => pool.stateOf(one, now)) };
  }

  /** A refusal that a store told a moment ago, and that nobody is asked for again before that moment is over. */
  function knownRefusal(charges: readonly Charge[], now: number): Decision | null {
    for (const [by, charge] of charges.entries()) {
      const retryAfterMs = pool.refusedForMs(charge, now);
      if (retryAfterMs === null) continue;
      return { ok: false, by, retryAfterMs, states: charges.map((one) => pool.stateOf(one, now)) };
    }
    return null;
  }

  function question(id: string, expiresAt: number, charges: readonly Charge[], now: number): Asked[] {
    const bySubject = Map.groupBy(charges.entries(), ([, { subject }]) => subject);
    return [...bySubject].map(([subject, entries]) => {
      const own = entries.map(([, charge]) => pool.takeSome(charge, now));
      const asks = entries.map(([, charge], place): Ask => {
        const { bucket, spec, amount, held = false } = charge;
        return { bucket, spec, need: amount - (own[place] ?? 0), want: pool.wanted(charge, now), held };
      });
      const indexes = entries.map(([index]) => index);
      return { subject, indexes, charges: entries.map(([, charge]) => charge), own, group: { id, expiresAt, asks } };
    });
  }

  /** Asks all of them at once. Once one refuses, or fails, the others' gifts go back as they come. */
  function askAll(asked: readonly Asked[]): Asking {
    const answers = asked.map((): Answered | undefined => undefined);
    const refused = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<void>();
    const isOver = Promise.withResolvers<boolean>();
    const all = asked.map(async (one, index) => {
      const [answer] = await Promise.allSettled([ask(store, one)]);
      answers[index] = answer;
      if (answer.status === "rejected" || !answer.value.ok) isOver.resolve(true);
      if (isRefusal(answer)) refused.resolve();
      if (!answers.includes(undefined)) {
        isOver.resolve(false);
        answered.resolve();
      }
      if (await isOver.promise) await undo(one, answer);
    });
    return { answers, refused: refused.promise, answered: answered.promise, done: Promise.all(all).then(() => {}) };
  }

  /** What is known when all have answered, or so long after one has refused. */
  async function answersOf(asked: readonly Asked[]): Promise<readonly (Answered | undefined)[]> {
    const { answers, refused, answered, done } = askAll(asked);
    if (refusedMs < Infinity && (await isFirst(refused, refusedMs, answered))) {
      behind(done);
      return [...answers];
    }
    await done;
    return answers;
  }

  async function fromStore(id: string, expiresAt: number, charges: readonly Charge[], now: number): Promise<Decision> {
    const asked = question(id, expiresAt, charges, now);
    const answers = await answersOf(asked);
    const failed = answers.find((answer) => answer?.status === "rejected");
    if (failed !== undefined && !answers.some(isRefusal)) throw failed.reason;
    const states = charges.map((): BucketState | null => null);
    const at: number[] = charges.map(() => 0);
    let refusal: { by: number; retryAfterMs: number | null } | null = null;
    for (const [index, answer] of answers.entries()) {
      const one = asked[index];
      if (one === undefined || answer?.status !== "fulfilled") continue;
      note(one, answer.value, states, at);
      if (answer.value.ok) continue;
      const { by, retryAfterMs } = answer.value;
      noteRefusal(one, answer.value, now);
      if (refusal === null || isLater(retryAfterMs, refusal.retryAfterMs)) {
        refusal = { by: one.indexes[by] ?? 0, retryAfterMs };
      }
    }
    if (refusal !== null) {
      const left = charges.map((charge, index) => {
        const told = states[index] ?? null;
        // What is leased ahead is left, too.
        return told === null
          ? pool.stateOf(charge, now)
          : { ...told, remaining: told.remaining + pool.unitsOf(charge, now) };
      });
      return { ok: false, ...refusal, states: left };
    }
    for (const [index, one] of asked.entries()) keep(one, answers[index], now);
    const after = charges.map((charge, index) => {
      const told = isAskedForEachTime(charge) ? (states[index] ?? null) : null;
      return told ?? pool.stateOf(charge, now);
    });
    return { ok: true, reservation: reservationOf(id, expiresAt, charges, at), states: after };
  }

  /** What a subject gave for a request that another one refuses, or did not answer for, goes back. */
  async function undo({ subject, charges, own, group }: Asked, answer: Answered): Promise<void> {
    for (const [place, charge] of charges.entries()) pool.putBack(charge, own[place] ?? 0, clock());
    if (isRefusal(answer)) return;
    // Of an answer that was lost, what is held goes back, all of it that is money, and the rest counts as used.
    const leases = answer.status === "fulfilled" && answer.value.ok ? answer.value.leases : [];
    const back = group.asks.flatMap((one, place) =>
      giftOf(one, leases[place]?.granted ?? (isMoney(one.spec) ? one.need : 0), leases[place]?.at ?? 0),
    );
    const settlement = { id: group.id, expiresAt: group.expiresAt, back, slots: slotsOf(charges) };
    // What the store can't be told it gives back by itself, when the reservation is over.
    await Promise.allSettled([store.settle(subject, [settlement])]);
  }

  function noteRefusal({ charges, group }: Asked, answer: Extract<GroupAnswer, { ok: false }>, now: number): void {
    const [charge, ask, state] = [charges[answer.by], group.asks[answer.by], answer.states[answer.by]];
    if (charge === undefined || ask === undefined || state === undefined) return;
    pool.noteRefusal(charge, ask.need, answer.retryAfterMs, state, now);
  }

  /** Keeps what was granted beyond the need. */
  function keep({ charges, group }: Asked, answer: Answered | undefined, sentAt: number): void {
    if (answer?.status !== "fulfilled" || !answer.value.ok) return;
    for (const [place, granted] of answer.value.leases.entries()) {
      const [charge, need] = [charges[place], group.asks[place]?.need];
      if (charge !== undefined && need !== undefined) pool.add(charge, granted, granted.granted - need, sentAt);
    }
  }

  return {
    /**
     * Takes all charges or none. `id` is unique; what is held and not settled until `expiresAt` is given back. Answers
     * at once when the leases suffice. Throws when a store can't be reached.
     */
    reserve(id: string, expiresAt: number, charges: readonly Charge[]): Decision | Promise<Decision> {
      const now = clock();
      const at = pool.takeAll(charges, now);
      if (at === null)
        return neverFits(charges, now) ?? knownRefusal(charges, now) ?? fromStore(id, expiresAt, charges, now);
      const states = charges.map((charge) => pool.stateOf(charge, now));
      return { ok: true, reservation: reservationOf(id, expiresAt, charges, at), states };
    },

    /**
     * Ends reservations with the amounts that were really used, in the order of their charges: each once, however often
     * it comes. Throws `NotEndedError` where a store can't be reached for some of them: a subject that is away, or
     * hangs, keeps no other's from ending.
     */
    async settle(ends: readonly Ended[]): Promise<void> {
      const settlements = ends.flatMap(settlementsOf);
      const bySubject = Map.groupBy(settlements, ({ subject }) => subject);
      const left = new Set<string>();
      const causes: unknown[] = [];
      const calls = [...bySubject].map(async ([subject, own]) => {
        try {
          const call = store.settle(subject, own);
          await (settleMs < Infinity ? within(call, settleMs) : call);
        } catch (error) {
          causes.push(error);
          for (const { id } of own) left.add(id);
        }
      });
      await Promise.all(calls);
      if (left.size > 0) throw new NotEndedError(left, { cause: causes[0] });
    },
  };
}

function isRefusal(answer: Answered | undefined): boolean {
  return answer?.status === "fulfilled" && !answer.value.ok;
}

/**
 * Whether `ms` pass from when `begun` resolves until `other` does. The timer isn't cleared: src/object-timers.ts tells
 * why.
 */
async function isFirst(begun: Promise<void>, ms: number, other: Promise<void>): Promise<boolean> {
  const isOver = async (): Promise<boolean> => {
    await begun;
    await new Promise<void>((resolve) => void setTimeout(resolve, ms));
    return true;
  };
  return Promise.race([isOver(), other.then(() => false)]);
}

async function ask(store: AllowanceStore, { subject, group }: Asked): Promise<GroupAnswer> {
  const [answer] = await store.take(subject, [group]);
  if (answer === undefined) throw new Error(`the allowances of ${subject} were not told`);
  return answer;
}

function note({ indexes }: Asked, answer: GroupAnswer, states: (BucketState | null)[], at: number[]): void {
  for (const [place, index] of indexes.entries()) {
    const told = answer.ok ? answer.leases[place] : answer.states[place];
    if (told !== undefined) states[index] = { remaining: told.remaining, resetMs: told.resetMs };
    if (answer.ok) at[index] = answer.leases[place]?.at ?? 0;
  }
}

function reservationOf(id: string, expiresAt: number, charges: readonly Charge[], at: readonly number[]): Reservation {
  return { id, expiresAt, taken: charges.map((charge, index) => ({ ...charge, at: at[index] ?? 0 })) };
}

/** `used` in the order of its charges. `mayChange`: it may end once more, with other amounts. */
type Ended = { reservation: Reservation; used: readonly number[]; mayChange?: boolean };

/** What ending the reservation so means to its subjects; none for those to whom it means nothing. */
function settlementsOf({ reservation, used, mayChange = false }: Ended): (Settlement & { subject: string })[] {
  const { id, expiresAt, taken } = reservation;
  const change = mayChange ? { mayChange } : {};
  const bySubject = Map.groupBy(taken.entries(), ([, { subject }]) => subject);
  return [...bySubject].flatMap(([subject, entries]) => {
    const back = entries.flatMap(([index, charge]) =>
      giftOf(charge, charge.amount - (used[index] ?? charge.amount), charge.at),
    );
    const isHeld = entries.some(([, charge]) => isAskedForEachTime(charge));
    return back.length === 0 && !isHeld
      ? []
      : [{ subject, id, expiresAt, back, slots: slotsOf(entries.map(([, charge]) => charge)), ...change }];
  });
}

function giftOf({ bucket, spec }: Pick<Charge, "bucket" | "spec">, amount: number, at: number): GiveBack[] {
  return amount === 0 || spec.algorithm === "concurrency" ? [] : [{ bucket, spec, at, amount }];
}

function slotsOf(charges: readonly Charge[]): string[] {
  return charges.flatMap(({ bucket, spec }) => (spec.algorithm === "concurrency" ? [bucket] : []));
}

function isLater(a: number | null, b: number | null): boolean {
  return b !== null && (a === null || a > b);
}
