import { describe, expect, it } from "vitest";
import { signLink, verifyLink } from "./signed-links.ts";

const secret = "a secret of more than thirty-two characters";
const now = 1_800_000_000_000;

async function query(resource = "file 1", expiresAt = now + 5000) {
  const params = new URLSearchParams(await signLink(secret, "file", resource, expiresAt));
  return { expires: params.get("expires") ?? undefined, signature: params.get("signature") ?? undefined };
}

describe("signed links", () => {
  it("open their resource until they expire", async () => {
    const link = await query();
    expect(await verifyLink(secret, "file", "file 1", link, now)).toBe(true);
    expect(await verifyLink(secret, "file", "file 1", link, now + 5000)).toBe(true);
    expect(await verifyLink(secret, "file", "file 1", link, now + 5001)).toBe(false);
  });

  it("open nothing else, for no other purpose, under no other secret", async () => {
    const link = await query();
    expect(await verifyLink(secret, "file", "file 2", link, now)).toBe(false);
    expect(await verifyLink(secret, "blob", "file 1", link, now)).toBe(false);
    expect(await verifyLink(`${secret}!`, "file", "file 1", link, now)).toBe(false);
  });

  it("take no time that was not signed, and no signature that is none", async () => {
    const link = await query();
    for (const expires of ["9999999999", "", "-1", "1e20", "NaN", undefined]) {
      expect(await verifyLink(secret, "file", "file 1", { ...link, expires }, now)).toBe(false);
    }
    for (const signature of ["", "!", "A", "AAAA", undefined]) {
      expect(await verifyLink(secret, "file", "file 1", { ...link, signature }, now)).toBe(false);
    }
  });

  it("are not made with a secret that is too short", async () => {
    await expect(signLink("short", "file", "file 1", now)).rejects.toThrow("EDGEPLANE_SECRET");
  });
});
