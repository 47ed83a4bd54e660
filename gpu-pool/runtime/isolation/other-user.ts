/**
 * A model's process as a user of its own, where the pool is root: each model has another uid, no capability, no group
 * but those of the GPUs, and nothing that it starts gains any. It sees the host's files as any other user does, and no
 * process's memory or environment but its own.
 */
import { createHash } from "node:crypto";
import { chownSync, mkdirSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { runCommand } from "../environments/command.ts";
import { isWithin } from "../../transport/confined-file.ts";
import { IsolationProblem } from "./types.ts";
import type { Isolation, Jail, JailRequest } from "./types.ts";
import { gpuDevices } from "./view.ts";

/** Users that no distribution gives away; a container may have the first 65,536 only. */
const MANY = { first: 1_000_000_000, count: 1 << 28 };
const FEW = { first: 20_000, count: 40_000 };
const OTHERS_MAY_PASS = 0o001;
const OTHERS_MAY_READ = 0o004;
const OTHERS_MAY_WRITE = 0o002;
const GRANT_TIMEOUT_MS = 60_000;

export type OtherUserOptions = {
  /** `setpriv`. */
  program: string;
  /** Where the child's side lies, which has the program that grants folders. */
  childPath: string;
  /** As `/proc/self/uid_map` has it. */
  uidMap: string;
};

export function otherUser(options: OtherUserOptions): Isolation {
  const uidOf = uidsBy(options.uidMap);
  return {
    kind: "user",
    why: null,
    async jail(request, warn): Promise<Jail> {
      if (!request.network) warn("network: false needs bubblewrap, which is not here: it reaches the network");
      const uid = uidOf(request.model);
      for (const path of [request.modelDir, ...request.readable]) checkReach(path);
      mkdirSync(request.homeDir, { recursive: true, mode: 0o700 });
      checkReach(request.homeDir, true);
      chownSync(request.homeDir, uid, uid);
      await grantFolder(request, uid, options.childPath, warn);
      const tempDir = join(request.scratchDir, "tmp");
      return {
        command: [options.program, ...setprivArgs(uid, groupsOfGpus()), "--"],
        env: { HOME: request.homeDir, TMPDIR: tempDir, USER: `edgeplane-${uid}`, LOGNAME: `edgeplane-${uid}` },
        owner: { uid, gid: uid },
        tempDir,
      };
    },
  };
}

/** The arguments of `setpriv`, of util-linux. */
export function setprivArgs(uid: number, groups: readonly number[]): string[] {
  return [
    ...[`--reuid=${uid}`, `--regid=${uid}`],
    groups.length === 0 ? "--clear-groups" : `--groups=${groups.join(",")}`,
    ...["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"],
  ];
}

/** Gives each model a uid that no other of this pool has, and the same at every start. */
export function uidsBy(uidMap: string): (model: string) => number {
  const given = new Map<string, number>();
  const taken = new Set<number>();
  const { first, count } = mapped(uidMap) > MANY.first + MANY.count ? MANY : FEW;
  return (model) => {
    const known = given.get(model);
    if (known !== undefined) return known;
    let offset = createHash("sha256").update(model).digest().readUInt32BE(0) % count;
    while (taken.has(first + offset)) offset = (offset + 1) % count;
    given.set(model, first + offset);
    taken.add(first + offset);
    return first + offset;
  };
}

/** How many users this host or container has. */
function mapped(uidMap: string): number {
  const ends = uidMap.split("\n").map((line) => {
    const [inside = "0", , length = "0"] = line.trim().split(/\s+/);
    return Number(inside) + Number(length);
  });
  return Math.max(...ends);
}

/** Throws `IsolationProblem` where another user can't get at `path`. `isOwn`: it will own the last part. */
function checkReach(path: string, isOwn = false): void {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & OTHERS_MAY_PASS) === 0) throw unreachable(path, folder);
  }
  const stats = statSync(path);
  const needed = stats.isDirectory() ? OTHERS_MAY_PASS | OTHERS_MAY_READ : OTHERS_MAY_READ;
  if (!isOwn && (stats.mode & needed) !== needed) throw unreachable(path, path);
}

function unreachable(path: string, folder: string): IsolationProblem {
  const where = path === folder ? path : `${path} lies in ${folder}, which`;
  return new IsolationProblem(
    `${where} is closed to other users (chmod o+rx opens it), and without bubblewrap a model runs as one`,
  );
}

/** Lets the model's user write into its folder, by access lists: the files stay their owner's. */
async function grantFolder(
  { modelDir, notesDir }: JailRequest,
  uid: number,
  childPath: string,
  warn: (warning: string) => void,
): Promise<void> {
  const program = join(childPath, "edgeplane_child", "grant.py");
  const skipped = isWithin(modelDir, notesDir) ? [notesDir] : [];
  const python = process.env["EDGEPLANE_PYTHON"] ?? "python3";
  const args = ["-I", program, String(uid), modelDir, ...skipped];
  const { code, output } = await runCommand(python, args, { timeoutMs: GRANT_TIMEOUT_MS });
  if (code === 0) return;
  const why = output.trim().split("\n").at(-1) ?? "";
  warn(`it can't write into its folder (${why}): what it keeps belongs into its HOME`);
}

/** The groups that GPUs belong to which not everybody may use. */
function groupsOfGpus(): number[] {
  const files = gpuDevices().flatMap((path) =>
    statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path],
  );
  const closed = files.map((path) => statSync(path)).filter(({ mode }) => (mode & OTHERS_MAY_WRITE) === 0);
  return [...new Set(closed.filter((stats) => stats.isCharacterDevice()).map(({ gid }) => gid))].filter(
    (gid) => gid > 0,
  );
}

/** This process's map of users; none outside Linux. */
export function readUidMap(): string {
  try {
    return readFileSync("/proc/self/uid_map", "utf8");
  } catch {
    return "";
  }
}
