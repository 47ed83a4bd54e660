/** Finished results on a disk that is full: real ones, where a small disk can be mounted. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { canMountDisks, smallDisk } from "../../test/small-disk.ts";
import { createSpool } from "./spool.ts";

const MEBIBYTE = 1024 * 1024;
const resultOf = (id: string, bytes: number) => [
  { id, token: id, seq: 1, type: "succeeded" as const, output: "x".repeat(bytes) },
];

describe.skipIf(!canMountDisks)("a full disk", () => {
  it("takes results into what was kept free for them, and keeps as much free again when they are gone", () => {
    using disk = smallDisk(8);
    const spool = createSpool(disk.path, 4 * MEBIBYTE);
    disk.fill(0);
    for (const id of ["a", "b", "c"]) spool.keep(id, id, resultOf(id, MEBIBYTE));
    expect(spool.size).toBe(3);
    expect(() => spool.keep("d", "d", resultOf("d", 2 * MEBIBYTE))).toThrow("ENOSPC");
    // A pool that starts again finds them.
    expect(
      createSpool(disk.path, 0)
        .load()
        .claims.map(([event]) => event?.id),
    ).toEqual(["a", "b", "c"]);
    for (const id of ["a", "b", "c"]) spool.drop(id, id);
    expect(statSync(join(disk.path, "reserve")).size).toBe(4 * MEBIBYTE);
  });

  it("leaves nothing of a result that it didn't take", () => {
    using disk = smallDisk(2);
    const spool = createSpool(disk.path, 0);
    disk.fill(MEBIBYTE / 2);
    expect(() => spool.keep("a", "a", resultOf("a", MEBIBYTE))).toThrow("ENOSPC");
    spool.keep("b", "b", resultOf("b", MEBIBYTE / 4));
    expect(createSpool(disk.path, 0).load()).toMatchObject({ claims: [[{ id: "b" }]], bad: [] });
  });
});
