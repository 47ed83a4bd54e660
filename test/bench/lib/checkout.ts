/** Another checkout of the product, as a side of a bench: what it runs comes from its own folder. */
import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The checkout that this file belongs to. */
export const ownRoot = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * A module of the checkout in `folder`; `Module` is the type that the same file has here. Nothing checks that the other
 * checkout's is the same: a call that it doesn't know fails.
 */
export async function moduleOf<Module>(folder: string, path: string): Promise<Module> {
  return (await import(pathToFileURL(join(resolve(folder), path)).href)) as Module;
}

/** Short id and subject of the checkout's commit. */
export function commitOf(folder: string): string {
  return execFileSync("git", ["-C", folder, "log", "-1", "--format=%h %s"], { encoding: "utf8" }).trim();
}
