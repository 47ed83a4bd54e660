/** Several versions of a model: what comes moves from one to another, and the model's machines are not wanted twice. */
import { expect, it } from "vitest";
import { World } from "../../../test/unit/scaling/world.ts";

const [OLD, NEW] = ["local/echo", "local/echo:w"];
const PER_SECOND = 4;
const WORK_S = 2;
const LOAD = PER_SECOND * WORK_S;
/** Of so many predictions in a row, the new version has its share. */
const ROUND = 20;

/** Half an hour in which all comes to the old version: it has learned its load, and its machines are there. */
function settled() {
  const world = new World({ classes: { cpu: { max: 100 } } }, [OLD, NEW]);
  world.prove(OLD, NEW);
  let n = 0;
  const goOn = (seconds: number, share: number): void => {
    world.most = 0;
    world.run(seconds, () => {
      for (let more = PER_SECOND; more > 0; more -= 1) {
        n += 1;
        world.arrive(n % ROUND < share * ROUND ? NEW : OLD, 1, WORK_S);
      }
    });
  };
  goOn(1800, 0);
  const before = world.real.size;
  expect(before).toBeLessThanOrEqual(LOAD + 3);
  return { world, goOn, before };
}

it.each([
  ["begins with what the old one had learned", false],
  ["is recalled after the object's restart", true],
])("has few machines more for a canary, though its version %s", (_, restarts) => {
  const { world, goOn, before } = settled();
  goOn(300, 0.05);
  if (restarts) {
    world.open();
    goOn(300, 0.05);
  }
  expect(world.most).toBeLessThanOrEqual(before + 2);
  expect(world.done.slice(-100).every(({ waitS }) => waitS < 5)).toBe(true);
});

it.each([
  ["at once", []],
  ["after a canary", [0.05]],
])("gives what one version had to another that everything moves to, %s", (_, steps) => {
  const { world, goOn, before } = settled();
  for (const share of steps) goOn(600, share);
  goOn(300, 1);
  goOn(300, 1);
  expect(world.most).toBeLessThanOrEqual(before + 1);
  expect(world.done.slice(-1000).every(({ waitS }) => waitS < 30)).toBe(true);
});
