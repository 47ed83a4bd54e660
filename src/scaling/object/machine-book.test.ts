import { expect, it } from "vitest";
import { World } from "../../../test/unit/scaling/world.ts";

it("counts a machine that was to be returned no longer than its provider lists it", () => {
  const world = new World();
  world.arrive("local/echo");
  world.run(25);
  const { id = "", session = null } = world.core.book.all()[0] ?? {};
  expect(session).not.toBeNull();
  world.core.book.giveUp(id, "a test");
  world.run(1);
  expect(world.names).not.toContain(`edgeplane-${id}`);
  expect(world.core.book.get(id)?.state).toBe("gone");
  world.run(1);
  expect(world.core.book.get(id)).toBeUndefined();
});
