import { expect, it } from "vitest";
import { offer } from "../../../test/unit/scaling/world.ts";
import type { SyncRequest } from "../../contract/provider.ts";
import { Providers } from "./providers.ts";

function word(instance: string, more: Partial<SyncRequest> = {}): SyncRequest {
  const nothing = { offers: [], machines: [], refused: [], orphansReturned: 0, duplicatesReturned: 0, complete: true };
  return { protocol: 1, provider: "one", kind: "fake", ...nothing, instance, ...more };
}

it("lets a second service in once the first was silent for 90 s, has left, or is the one that it follows", () => {
  const providers = new Providers();
  const says = (request: SyncRequest, mono: number): string | null => {
    const why = providers.refusal(request, mono);
    if (why === null) providers.heard(request, 0, mono, 0);
    return why;
  };
  expect(says(word("a"), 0)).toBeNull();
  expect(says(word("b"), 10_000)).toContain("Another service speaks for the provider one, and was heard 10 s ago.");
  expect(says(word("a"), 20_000)).toBeNull();
  expect(says(word("b"), 109_000)).toContain("89 s ago");
  expect(says(word("b"), 110_000)).toBeNull();
  expect(says(word("a"), 111_000)).not.toBeNull();
  expect(says(word("c", { replaces: "b" }), 112_000)).toBeNull();
  expect(says(word("b"), 113_000)).not.toBeNull();
  expect(providers.isHere("one", 113_000)).toBe(true);
  expect(says(word("c", { isLeaving: true }), 114_000)).toBeNull();
  expect(providers.isHere("one", 114_000)).toBe(false);
  expect(says(word("d"), 115_000)).toBeNull();
  expect(providers.refusal({ ...word("e"), provider: "two" }, 115_000)).toBeNull();
});

it("has the offers of the last word, also of one that is heard twice at the same time, and none of one that is away", () => {
  const providers = new Providers();
  const offersOf = (mono: number): string[] => providers.offers(mono).map(({ id, provider }) => `${provider} ${id}`);
  providers.heard(word("a", { offers: [offer("small")] }), 0, 0, 0);
  expect(offersOf(0)).toEqual(["one small"]);
  providers.heard(word("a", { offers: [offer("large")] }), 0, 0, 0);
  expect(offersOf(0)).toEqual(["one large"]);
  expect(offersOf(89_999)).toEqual(["one large"]);
  expect(offersOf(90_000)).toEqual([]);
});
