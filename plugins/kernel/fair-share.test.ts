import { expect, it } from "vitest";
import { createFairShare } from "./fair-share.ts";

it("refuses a holder by its own bound, and says so", () => {
  const shares = createFairShare({ total: 100, perHolder: 40 });
  expect(shares.refusal("a", 40)).toBeNull();
  shares.change("a", 40);
  expect(shares.refusal("a", 1)).toBe("own");
  shares.change("a", -1);
  expect(shares.refusal("a", 1)).toBeNull();
});

it("refuses those above an even share where all is taken, and gives the others theirs", () => {
  const shares = createFairShare({ total: 100, perHolder: 60 });
  for (const holder of ["a", "b"]) shares.change(holder, 50);
  expect(shares.refusal("a", 1)).toBe("all");
  expect(shares.refusal("c", 33)).toBeNull();
  expect(shares.refusal("c", 34)).toBe("all");
  shares.change("b", -50);
  expect(shares.refusal("a", 1)).toBeNull();
});

it("lets all together hold twice the whole at most, in whatever order they come", () => {
  const shares = createFairShare({ total: 1000, perHolder: 400 });
  let held = 0;
  for (let round = 0; round < 50; round += 1) {
    for (let holder = 0; holder < 200; holder += 1) {
      const more = 1 + ((holder * 7 + round * 13) % 90);
      if (shares.refusal(String(holder), more) !== null) continue;
      shares.change(String(holder), more);
      held += more;
    }
  }
  expect(held).toBeGreaterThan(900);
  expect(held).toBeLessThanOrEqual(2000);
});
