import { expect, test } from "vitest";
import { createTurns } from "./turns.ts";

test("who began first is heard at once, the others whole and in order when it has ended", () => {
  let heard = "";
  const open = createTurns((text) => (heard += text));
  const [first, second, third] = [open(), open(), open()];
  first.say("a1 ");
  second.say("b1 ");
  third.say("c1 ");
  first.say("a2 ");
  expect(heard).toBe("a1 a2 ");
  third.end();
  second.say("b2 ");
  first.end();
  expect(heard).toBe("a1 a2 b1 b2 ");
  second.say("b3 ");
  second.end();
  expect(heard).toBe("a1 a2 b1 b2 b3 c1 ");
  open().say("d");
  expect(heard).toBe("a1 a2 b1 b2 b3 c1 d");
});
