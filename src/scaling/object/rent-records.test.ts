import { expect, it } from "vitest";
import { World } from "../../../test/unit/scaling/world.ts";
import { RentRecords } from "./rent-records.ts";
import { ScalerStore } from "./rows.ts";

const causes = (world: World) => world.core.book.all().map(({ cause }) => cause);

it("knows the version for which alone a machine was rented, and none where several wanted it or the settings did", () => {
  const [alone, two, kept] = [
    new World({}),
    new World({}, ["local/echo", "local/other"]),
    new World({ classes: { cpu: { min: 1 } } }),
  ];
  for (const world of [alone, two, kept]) world.arrive("local/echo");
  two.arrive("local/other");
  for (const world of [alone, two, kept]) world.run(2);
  expect([causes(alone), causes(two), causes(kept)]).toEqual([["local/echo v"], [null], [null]]);
});

it("decides once who is charged for a boot, and stores that before it tells", () => {
  const world = new World();
  const store = new ScalerStore(world.sql);
  const rents = new RentRecords(store, 0);
  world.arrive("local/echo");
  world.run(2);
  const [machine] = world.core.book.all();
  if (machine === undefined) throw new Error("no machine was rented");
  rents.add(machine, 1000, 3000, "boot");
  rents.add({ ...machine, cause: null }, 1000, 3000, "boot");
  rents.add(machine, 3000, 4000, "unused");
  const owner = { accountId: "acme", deployment: "acme/echo" };
  rents.charge(new Map([["local/echo v", owner]]));
  const told = () => new RentRecords(store, 0).waiting.map(({ record }) => [record.account, record.deployment]);
  const decided = [
    ["acme", "acme/echo"],
    ["overhead", null],
    ["overhead", null],
  ];
  expect(told()).toEqual(decided);
  rents.charge(new Map([["local/echo v", null]]));
  expect(told()).toEqual(decided);
});

it("gives no number again after it was put back from a backup: meters would drop what it stands for", () => {
  const world = new World();
  const store = new ScalerStore(world.sql);
  world.arrive("local/echo");
  world.run(2);
  const [machine] = world.core.book.all();
  if (machine === undefined) throw new Error("no machine was rented");
  const numbers = (rents: RentRecords) => rents.waiting.map(({ n }) => n);
  const before = new RentRecords(store, world.wallMs);
  const backup = store.read("unmetered");
  before.add(machine, 1000, 3000, "boot");
  before.add(machine, 3000, 4000, "unused");
  const told = numbers(before);
  if (backup === null) store.write("unmetered", { next: 1, records: [] });
  else store.write("unmetered", backup);
  const after = new RentRecords(store, world.wallMs + 1000);
  after.add(machine, 4000, 5000, "unused");
  expect(Math.min(...numbers(after))).toBeGreaterThan(Math.max(...told));
  // A clock that was set back gives none again either.
  const later = new RentRecords(store, 0);
  later.add(machine, 5000, 6000, "unused");
  expect(new Set(numbers(later)).size).toBe(2);
});
