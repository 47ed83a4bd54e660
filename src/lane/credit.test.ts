/** Room as credit, by itself: statements, holds, acknowledgements, suspensions. */
import { describe, expect, it } from "vitest";
import { CreditBook } from "./credit.ts";
import type { Session } from "./credit.ts";
import { roomsOf } from "./rooms.ts";
import { versionKey } from "./types.ts";

const LIMITS = { reserved: 250, taken: 1500, pushed: 1500, granted: 500 };
const A = { model: "m/a", version: "1" };
const B = { model: "m/b", version: "1" };
const [KEY_A, KEY_B] = [versionKey(A), versionKey(B)];
const NOW = 1_000_000;

const rooms = (of: typeof A, room: number, startNow = room, problem: string | null = null) => ({
  ...of,
  ...{ room, startNow, readyInMs: 0, problem },
});

function setUp() {
  const book = new CreditBook(LIMITS);
  const told = (name: string, room: number, startNow = room): Session => {
    const session = book.session(name);
    book.tell(session, 1, true, [rooms(A, room, startNow)], NOW);
    return session;
  };
  /** What it may be handed, and how much of that starts at once. */
  const left = (session: Session, key = KEY_A) => [book.room(session, key), book.startNow(session, key)];
  return { book, told, left };
}

describe("a statement", () => {
  it("is news unless a later one was heard", () => {
    const { book, left } = setUp();
    const session = book.session("s");
    expect(book.session("s")).toBe(session);
    expect([...book.unknown]).toEqual([session]);
    expect(book.tell(session, 5, false, [rooms(A, 3, 2)], NOW)).toBe(true);
    expect([book.unknown.size, left(session)]).toEqual([0, [3, 2]]);
    for (const n of [5, 4]) expect(book.tell(session, n, false, [rooms(A, 9)], NOW)).toBe(false);
    expect(left(session)).toEqual([3, 2]);
    expect(book.tell(session, 6, false, [rooms(A, 1)], NOW)).toBe(true);
    expect(left(session)).toEqual([1, 1]);
  });

  it("leaves what it doesn't name, unless it is full", () => {
    const { book, left } = setUp();
    const session = book.session("s");
    book.tell(session, 1, true, [rooms(A, 2), rooms(B, 3)], NOW);
    book.tell(session, 2, false, [rooms(A, 1)], NOW);
    expect([left(session), left(session, KEY_B)]).toEqual([
      [1, 1],
      [3, 3],
    ]);
    book.tell(session, 3, true, [rooms(A, 1)], NOW);
    expect([left(session, KEY_B), book.rawRoom(session, KEY_B), book.serving(KEY_B)]).toEqual([[0, 0], 0, []]);
    expect(book.serving(KEY_A)).toEqual([session]);
  });

  it("that names a version again counts what is held of it still", () => {
    const { book, left } = setUp();
    const session = book.session("s");
    book.tell(session, 1, true, [rooms(A, 5), rooms(B, 5)], NOW);
    for (const id of ["x", "y"]) book.hold(id, session, KEY_A, "granted", NOW);
    book.hold("z", session, KEY_B, "granted", NOW);
    book.tell(session, 2, true, [rooms(B, 5)], NOW);
    book.tell(session, 3, true, [rooms(A, 5), rooms(B, 5)], NOW);
    expect([book.rawRoom(session, KEY_A), book.rawRoom(session, KEY_B), left(session)]).toEqual([3, 4, [2, 2]]);
  });

  it("says how many of its sessions can't set a version up", () => {
    const { book } = setUp();
    const [one, other] = [book.session("one"), book.session("other")];
    book.tell(one, 1, true, [rooms(A, 0, 0, "no weights")], NOW);
    book.tell(other, 1, true, [rooms(A, 0, 0, "no disk")], NOW);
    expect(book.problems(KEY_A)).toBe(2);
    book.tell(one, 2, false, [rooms(A, 0, 0, "no weights yet")], NOW);
    expect(book.problems(KEY_A)).toBe(2);
    book.tell(one, 3, false, [rooms(A, 1)], NOW);
    expect(book.problems(KEY_A)).toBe(1);
    book.gone("other");
    expect([book.problems(KEY_A), book.problems("unheard of")]).toEqual([0, 0]);
  });
});

describe("a hold", () => {
  it("takes of its version's room, and of what starts at once, until it is released", () => {
    const { book, told, left } = setUp();
    const session = told("s", 3, 2);
    book.hold("x", session, KEY_A, "reserved", NOW);
    expect([left(session), book.rawRoom(session, KEY_A), book.heldCount()]).toEqual([[2, 1], 2, 1]);
    book.hold("x", session, KEY_A, "granted", NOW + 10);
    expect([left(session), book.heldCount()]).toEqual([[2, 1], 1]);
    book.release("x", NOW + 20);
    book.release("unheard of", NOW + 20);
    expect([left(session), book.heldCount()]).toEqual([[3, 2], 0]);
  });

  it("of one version takes of what the session has for any: a device is told with each", () => {
    const { book, left } = setUp();
    const session = book.session("s");
    book.tell(session, 1, true, [rooms(A, 2), rooms(B, 2)], NOW);
    for (const id of ["x", "y"]) book.hold(id, session, KEY_A, "granted", NOW);
    expect(left(session, KEY_B)).toEqual([0, 0]);
    expect(book.rawRoom(session, KEY_B)).toBe(2);
    book.hold("z", session, KEY_A, "granted", NOW);
    expect([left(session), book.rawRoom(session, KEY_A)]).toEqual([[0, 0], 0]);
  });

  it("takes of its own version what that has, and of another what is left of the whole", () => {
    const { book, left } = setUp();
    const session = book.session("s");
    book.tell(session, 1, true, [rooms(A, 2), rooms(B, 5)], NOW);
    book.hold("x", session, KEY_A, "granted", NOW);
    expect([left(session), left(session, KEY_B)]).toEqual([
      [1, 1],
      [4, 4],
    ]);
  });

  it("moves to the session that holds it last", () => {
    const { book, told, left } = setUp();
    const [one, other] = [told("one", 2), told("other", 2)];
    book.hold("x", one, KEY_A, "pushed", NOW);
    book.hold("x", other, KEY_A, "granted", NOW);
    expect([left(one), left(other), book.heldCount()]).toEqual([[2, 2], [1, 1], 1]);
  });

  it("stands for its kind's time, and a reservation's runs on when it becomes a grant", () => {
    const { book, told, left } = setUp();
    const session = told("s", 9);
    expect(book.nextExpiry()).toBeNull();
    book.hold("reserved", session, KEY_A, "reserved", NOW);
    book.hold("taken", session, KEY_A, "taken", NOW);
    book.hold("pushed", session, KEY_A, "pushed", NOW + 1);
    expect(book.nextExpiry()).toBe(NOW + 250);
    expect(book.expire(NOW + 249)).toEqual([]);
    expect(book.expire(NOW + 250).map(({ id }) => id)).toEqual(["reserved"]);
    expect(left(session)).toEqual([7, 7]);
    expect(book.nextExpiry()).toBe(NOW + 1500);
    expect(book.expire(NOW + 1501).map(({ id }) => id)).toEqual(["taken", "pushed"]);
    expect([left(session), book.nextExpiry()]).toEqual([[9, 9], null]);
    book.hold("soon", session, KEY_A, "reserved", NOW + 2000);
    book.hold("soon", session, KEY_A, "granted", NOW + 2200);
    expect(book.nextExpiry()).toBe(NOW + 2500);
    book.hold("taken", session, KEY_A, "taken", NOW + 2000);
    book.hold("taken", session, KEY_A, "granted", NOW + 2200);
    book.release("soon", NOW + 2200);
    expect(book.nextExpiry()).toBe(NOW + 2700);
  });
});

describe("room without a break", () => {
  it("is told since when it is there, through statements and holds that leave some", () => {
    const { book, told } = setUp();
    const session = told("s", 2);
    const since = () => session.credits.get(KEY_A)?.roomSince;
    expect(since()).toBe(NOW);
    book.hold("x", session, KEY_A, "granted", NOW + 1);
    book.tell(session, 2, false, [rooms(A, 2)], NOW + 2);
    expect(since()).toBe(NOW);
    book.hold("y", session, KEY_A, "granted", NOW + 3);
    expect(since()).toBeNull();
    book.release("x", NOW + 4);
    expect(since()).toBe(NOW + 4);
    book.tell(session, 3, false, [rooms(A, 1)], NOW + 5);
    expect(since()).toBeNull();
    book.polled(session, new Map([[KEY_A, { room: 3, startNow: 0 }]]), NOW + 6);
    expect(since()).toBe(NOW + 6);
  });
});

describe("an acknowledgement", () => {
  it("ends a grant's hold; the next statement is less it", () => {
    const { book, told, left } = setUp();
    const session = told("s", 2);
    book.hold("x", session, KEY_A, "granted", NOW);
    book.seen(session, ["x"], NOW + 1);
    expect([left(session), book.heldCount()]).toEqual([[2, 2], 0]);
  });

  it("that comes before the shard's word spares its hold, for ten seconds and from that session", () => {
    const { book, told } = setUp();
    const [session, other] = [told("s", 9), told("other", 9)];
    book.seen(session, ["x", "late"], NOW);
    book.hold("x", session, KEY_A, "granted", NOW + 9999);
    expect(book.heldCount()).toBe(0);
    book.hold("x", session, KEY_A, "granted", NOW + 9999);
    expect(book.heldCount()).toBe(1);
    book.seen(session, [], NOW + 10_000);
    book.hold("late", session, KEY_A, "granted", NOW + 10_000);
    expect(book.heldCount()).toBe(2);
    // Another session's word ends nothing.
    book.seen(other, ["late"], NOW + 10_001);
    expect(book.heldCount()).toBe(2);
  });

  it("of what is on its way ends that, and spares the grant", () => {
    const { book, told, left } = setUp();
    const session = told("s", 2);
    book.hold("x", session, KEY_A, "pushed", NOW);
    book.seen(session, ["x"], NOW + 1);
    expect(left(session)).toEqual([2, 2]);
    book.hold("x", session, KEY_A, "granted", NOW + 2);
    expect([left(session), book.heldCount()]).toEqual([[2, 2], 0]);
  });

  it("spares a grant alone, and none that is made again", () => {
    const { book, told } = setUp();
    const session = told("s", 9);
    book.seen(session, ["x"], NOW);
    book.hold("x", session, KEY_A, "reserved", NOW);
    expect(book.heldCount()).toBe(1);
    book.hold("x", session, KEY_A, "granted", NOW);
    expect(book.heldCount()).toBe(0);
    book.hold("y", session, KEY_A, "granted", NOW);
    book.seen(session, ["y"], NOW);
    book.hold("y", session, KEY_A, "granted", NOW);
    expect(book.heldCount()).toBe(1);
  });

  it("is remembered of ten thousand", () => {
    const { book, told } = setUp();
    const session = told("s", 9);
    const ids = Array.from({ length: 10_001 }, (_, index) => `${index}`);
    book.seen(session, ids, NOW);
    for (const id of ["0", "1", "10000"]) book.hold(id, session, KEY_A, "granted", NOW);
    expect([...session.holds.keys()]).toEqual(["0"]);
  });
});

describe("what the operator sees", () => {
  it("is whether a pool stated its room and acknowledges, and nothing of one that isn't known", () => {
    const { book, told } = setUp();
    book.session("silent");
    told("s", 3);
    told("suspended", 3).isSuspended = true;
    const seen = roomsOf(book, ["silent", "s", "suspended", "nobody"]);
    expect(seen.map(({ session, isHeard }) => [session, isHeard])).toEqual([
      ["silent", false],
      ["s", true],
      ["suspended", false],
    ]);
  });
});

describe("a grant that is not acknowledged", () => {
  it("suspends its session until it states its room, and then counts no more", () => {
    const { book, told, left } = setUp();
    const session = told("s", 3);
    book.hold("x", session, KEY_A, "granted", NOW);
    expect(book.expire(NOW + 499)).toEqual([]);
    expect([session.isSuspended, book.unknown.size]).toEqual([false, 0]);
    expect(book.expire(NOW + 500)).toEqual([]);
    expect([session.isSuspended, [...book.unknown], left(session)]).toEqual([true, [session], [0, 0]]);
    // What it polls for it still has.
    expect([book.rawRoom(session, KEY_A), book.heldCount(), book.nextExpiry()]).toEqual([2, 1, null]);
    book.tell(session, 2, false, [rooms(A, 3)], NOW + 600);
    expect([session.isSuspended, left(session), book.heldCount()]).toEqual([false, [3, 3], 0]);
  });

  it("may be acknowledged late, or given back", () => {
    for (const end of ["seen", "released"] as const) {
      const { book, told } = setUp();
      const session = told("s", 3);
      book.hold("x", session, KEY_A, "granted", NOW);
      book.expire(NOW + 500);
      if (end === "seen") book.seen(session, ["x"], NOW + 600);
      else book.release("x", NOW + 600);
      expect([book.heldCount(), session.holds.size, session.isSuspended]).toEqual([0, 0, true]);
    }
  });
});

describe("a poll", () => {
  it("states all rooms, and ends what earlier polls took and what is late", () => {
    const { book, left } = setUp();
    const session = book.session("s");
    book.tell(session, 1, true, [rooms(A, 5), rooms(B, 5)], NOW);
    book.hold("late", session, KEY_A, "granted", NOW);
    book.expire(NOW + 500);
    book.hold("taken", session, KEY_A, "taken", NOW + 500);
    book.hold("from a poll", session, KEY_A, "taken", NOW + 500);
    book.hold("from a poll", session, KEY_A, "granted", NOW + 500);
    book.hold("pushed", session, KEY_A, "pushed", NOW + 500);
    book.hold("granted", session, KEY_A, "pushed", NOW + 500);
    book.hold("granted", session, KEY_A, "granted", NOW + 500);
    book.polled(session, new Map([[KEY_A, { room: 4, startNow: 3 }]]), NOW + 600);
    expect([...session.holds.keys()]).toEqual(["pushed", "granted"]);
    expect([book.rawRoom(session, KEY_A), book.rawRoom(session, KEY_B)]).toEqual([2, 0]);
    session.isSuspended = false;
    expect([left(session), left(session, KEY_B)]).toEqual([
      [2, 1],
      [0, 0],
    ]);
  });
});

describe("the best to start one", () => {
  it("is who has most that starts at once, and nobody where nobody has", () => {
    const { book, told } = setUp();
    expect(book.bestToStart(KEY_A)).toBeNull();
    const [, most] = [told("few", 9, 1), told("most", 5, 3), told("none", 9, 0)];
    expect(book.bestToStart(KEY_A)).toBe(most);
    for (const id of ["x", "y", "z"]) book.hold(id, most, KEY_A, "granted", NOW);
    expect(book.bestToStart(KEY_A)?.name).toBe("few");
  });

  it("is found again once there is more credit than when nobody was found", () => {
    const { book, told } = setUp();
    const session = told("s", 1);
    book.hold("x", session, KEY_A, "granted", NOW);
    expect([book.bestToStart(KEY_A), book.bestToStart(KEY_A)]).toEqual([null, null]);
    book.release("x", NOW);
    expect(book.bestToStart(KEY_A)).toBe(session);
    book.hold("x", session, KEY_A, "granted", NOW);
    expect(book.bestToStart(KEY_A)).toBeNull();
    book.tell(session, 2, false, [rooms(A, 2)], NOW);
    expect(book.bestToStart(KEY_A)).toBe(session);
  });

  it("is compared with 31 others, unless none of these starts one", () => {
    const { book, told } = setUp();
    const few = Array.from({ length: 32 }, (_, index) => told(`${index}`, 1));
    const most = told("most", 5);
    expect(book.bestToStart(KEY_A)).toBe(few[0]);
    const other = setUp();
    for (let index = 0; index < 40; index += 1) other.told(`${index}`, 9, 0);
    const only = other.told("only", 1);
    expect(other.book.bestToStart(KEY_A)).toBe(only);
    expect(book.bestToStart(KEY_A)).toBe(most);
  });

  it("is looked for among 32 in turn, and further where none of these has room", () => {
    const { book, told } = setUp();
    const sessions = Array.from({ length: 40 }, (_, index) => told(`${index}`, 9, index === 39 ? 5 : 1));
    expect(book.bestToStart(KEY_A)).toBe(sessions[0]);
    const found = Array.from({ length: 8 }, () => book.bestToStart(KEY_A));
    expect(found.at(-1)).toBe(sessions[39]);
    for (const session of sessions.slice(0, 39)) book.hold(session.name, session, KEY_A, "granted", NOW);
    expect(book.bestToStart(KEY_A)).toBe(sessions[39]);
  });
});

describe("sessions", () => {
  it("are all heard once each stated its room, or was asked often enough in vain", () => {
    const { book, told } = setUp();
    expect(book.allHeard(2)).toBe(true);
    told("heard", 1);
    const silent = book.session("silent");
    expect(book.allHeard(2)).toBe(false);
    silent.asked = 1;
    expect(book.allHeard(2)).toBe(false);
    silent.asked = 2;
    expect(book.allHeard(2)).toBe(true);
    book.tell(silent, 1, true, [], NOW);
    expect(silent.asked).toBe(0);
    // One that is suspended was heard before.
    book.hold("x", silent, KEY_A, "granted", NOW);
    book.expire(NOW + 500);
    expect([book.unknown.size, book.allHeard(2)]).toEqual([1, true]);
    book.gone("silent");
    expect(book.unknown.size).toBe(0);
  });

  it("that are gone leave no hold, no room and no place among those that serve", () => {
    const { book, told } = setUp();
    const [first, second, third] = [told("first", 1), told("second", 1), told("third", 1)];
    book.hold("x", first, KEY_A, "granted", NOW);
    book.gone("first");
    book.gone("unheard of");
    expect([book.heldCount(), book.sessions.has("first")]).toEqual([0, false]);
    expect(book.serving(KEY_A).toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([second, third]);
    // The last took the first one's place: it is found there when it goes.
    book.gone("third");
    expect(book.serving(KEY_A)).toEqual([second]);
    book.gone("second");
    expect([book.serving(KEY_A), book.sessions.size, book.unknown.size]).toEqual([[], 0, 0]);
  });
});
