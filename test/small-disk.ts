/** A disk that a test can fill for real: a file system in memory of a few MiB. Mounting one takes root, or sudo. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type SmallDisk = {
  path: string;
  /** Writes a file that leaves this much free, or less where others write at the same time. */
  fill(leaveBytes: number): void;
  /** Deletes that file. */
  empty(): void;
  [Symbol.dispose](): void;
};

function asRoot(command: string, ...args: string[]): void {
  const [program, ...rest] = process.getuid?.() === 0 ? [command, ...args] : ["sudo", "-n", command, ...args];
  execFileSync(program, rest, { stdio: "ignore" });
}

function mount(mebibytes: number): string {
  const path = mkdtempSync(join(tmpdir(), "edgeplane-disk-"));
  try {
    const owner = `uid=${process.getuid?.() ?? 0},gid=${process.getgid?.() ?? 0}`;
    asRoot("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m,${owner}`, "tmpfs", path);
    return path;
  } catch (error) {
    rmSync(path, { recursive: true });
    throw error;
  }
}

function mayMount(): boolean {
  try {
    const path = mount(1);
    asRoot("umount", path);
    rmSync(path, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

/** Whether these tests can run here. In CI they must: a machine that can't mount fails them there. */
export const canMountDisks = process.env["CI"] !== undefined || mayMount();
if (!canMountDisks)
  console.warn("tests with a full disk are passed over: mounting one takes root, or sudo without a password");

export function smallDisk(mebibytes: number): SmallDisk {
  const path = mount(mebibytes);
  const filler = join(path, "filler");
  return {
    path,
    fill(leaveBytes) {
      rmSync(filler, { force: true });
      const { bavail, bsize } = statfsSync(path);
      try {
        writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
      } catch (error) {
        // Others wrote meanwhile: then it is as full as can be.
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      }
    },
    empty: () => rmSync(filler, { force: true }),
    [Symbol.dispose]() {
      // Processes that end at this moment may still be in it.
      asRoot("umount", "-l", path);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
