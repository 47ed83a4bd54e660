/**
 * A model's process in namespaces of its own, by bubblewrap: it sees neither the pool's process nor its files, nor
 * those of other models, and ends with the pool. It stays of the pool's user outside, so that what it writes into its
 * model's folder is that user's.
 */
import { mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { isWithin } from "../../transport/confined-file.ts";
import type { Isolation, Jail, JailRequest } from "./types.ts";
import { etcFiles, gpuDevices, readableOf } from "./view.ts";

const UNSHARED = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"];
/** Secrets of a process outside that only its environment variables lead to. */
const FORGOTTEN = ["SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"];

/** `program`: `bwrap`. `hidden`: the pool's own folders and files: no folder that the process may read leads there. */
export function namespaces(program: string, hidden: readonly string[]): Isolation {
  return {
    kind: "namespaces",
    why: null,
    async jail(request): Promise<Jail> {
      mkdirSync(request.homeDir, { recursive: true, mode: 0o700 });
      const tempDir = join(request.scratchDir, "tmp");
      return {
        command: [program, ...bubblewrapArgs(request, tempDir, hidden), "--"],
        env: { HOME: request.homeDir, TMPDIR: tempDir },
        owner: null,
        tempDir,
      };
    },
  };
}

/** The arguments of `bwrap`: later ones lie over earlier ones. */
export function bubblewrapArgs(request: JailRequest, tempDir: string, hidden: readonly string[]): string[] {
  const { modelDir, notesDir, homeDir, scratchDir } = request;
  const readable = readableOf([...request.readable, ...request.mayRead]);
  const own = [modelDir, homeDir, scratchDir];
  return [
    ...UNSHARED,
    ...(request.network ? [] : ["--unshare-net"]),
    "--die-with-parent",
    // Root would keep them all: enough to take a mount away, or to make it writable.
    ...["--cap-drop", "ALL"],
    ...FORGOTTEN.flatMap((name) => ["--unsetenv", name]),
    // First, as what it may read can lie below it.
    ...["--bind", tempDir, "/tmp", "--dir", "/var/tmp", "--dir", "/run"],
    ...readable.flatMap((path) => ["--ro-bind", path, path]),
    ...etcFiles().flatMap(([from, to]) => ["--ro-bind", from, to]),
    ...["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"],
    ...gpuDevices().flatMap((path) => ["--dev-bind", path, path]),
    ...masks(hidden, readable),
    ...request.readable.flatMap((path) => (isHidden(path, hidden) ? ["--ro-bind", path, path] : [])),
    ...own.flatMap((path) => ["--bind", path, path]),
    ...foldersOf(request.fixed, modelDir).flatMap((path) => ["--bind", path, path]),
    ...request.fixed.flatMap((path) => ["--ro-bind", path, path]),
    ...(isWithin(modelDir, notesDir) ? ["--ro-bind-try", notesDir, notesDir] : []),
    ...["--chdir", modelDir],
  ];
}

/**
 * The folders of the model's that lead to its fixed files, upper ones first. As mounts they can't be renamed: a fixed
 * file that lay elsewhere would be writable to the model's next process.
 */
function foldersOf(fixed: readonly string[], modelDir: string): string[] {
  const folders = new Set<string>();
  for (const path of fixed)
    for (let folder = dirname(path); folder !== modelDir && isWithin(modelDir, folder); folder = dirname(folder))
      folders.add(folder);
  return [...folders].sort();
}

/** Covers what is hidden where a folder that may be read would lead to it. */
function masks(hidden: readonly string[], readable: readonly string[]): string[] {
  return hidden
    .filter((path) => readable.some((folder) => isWithin(folder, path)))
    .flatMap((path) => {
      const stats = statSync(path, { throwIfNoEntry: false });
      if (stats === undefined) return [];
      return stats.isDirectory() ? ["--tmpfs", path] : ["--ro-bind", "/dev/null", path];
    });
}

function isHidden(path: string, hidden: readonly string[]): boolean {
  return hidden.some((folder) => isWithin(folder, path));
}
