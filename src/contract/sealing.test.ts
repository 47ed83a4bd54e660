import { expect, it } from "vitest";
import { seal, unseal } from "./sealing.ts";

const secret = "a-secret-of-at-least-thirty-two-characters";

it("gives back what was sealed, to the same secret only", async () => {
  const sealed = await seal(secret, "pässword");
  expect(sealed).not.toContain("ssword");
  expect(await seal(secret, "pässword")).not.toBe(sealed);
  expect(await unseal(secret, sealed)).toBe("pässword");
  expect(await unseal(`${secret}!`, sealed)).toBeNull();
  expect(await unseal(secret, `${sealed.slice(0, -2)}AA`)).toBeNull();
  expect(await unseal(secret, "no")).toBeNull();
});
