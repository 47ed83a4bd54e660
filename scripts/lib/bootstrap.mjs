/**
 * Makes a bare clone able to run its own scripts. Plain JavaScript without dependencies, for any Node from 20 on: it
 * installs what the lock names when it isn't there, and finds the Node that the scripts need (the npm package `node`)
 * for whatever Node started them.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const stampFile = join(root, "node_modules/.edgeplane-lock");
const installLock = join(root, ".edgeplane-install.lock");

/** The one line that a user needs, and no stack. */
export function fail(message) {
  console.error(`edgeplane: ${message}`);
  process.exit(1);
}

function lockHash() {
  return createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
}

function isInstalled(hash) {
  return existsSync(stampFile) && readFileSync(stampFile, "utf8") === hash && findNode() !== null;
}

/** The path of a Node that runs TypeScript and the tools, or null. */
function findNode() {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const suffix = process.platform === "win32" ? "bin/node.exe" : "bin/node";
  const arch = [`node-${platform}-${process.arch}`, `node-bin-${platform}-${process.arch}`];
  const places = ["node", ...arch.map((name) => `node/node_modules/${name}`), ...arch];
  const found = places.map((place) => join(root, "node_modules", place, suffix)).find(isExecutable);
  return found ?? (isRecent(process.versions.node) ? process.execPath : null);
}

function isExecutable(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.size > 1_000_000;
}

function isRecent(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major >= 24 || (major === 22 && minor >= 18);
}

/**
 * Runs npm to its end; whether it went well. A signal goes on to npm, which must have left before this process does: it
 * still writes.
 */
async function npm(args) {
  const child = spawn(process.platform === "win32" ? "npm.cmd" : "npm", args, {
    cwd: root,
    // What npm says goes to stderr: stdout is the script's own, which others read.
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  let interruption = null;
  const handlers = ["SIGINT", "SIGTERM", "SIGHUP"].map((signal) => {
    const handOn = () => {
      interruption = signal;
      // A terminal's Ctrl-C has reached npm by itself.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    };
    process.on(signal, handOn);
    return () => process.off(signal, handOn);
  });
  const code = await new Promise((resolve) => {
    child.once("error", (error) => fail(`npm could not be started (${error.message}); install Node with npm.`));
    child.once("exit", resolve);
  });
  for (const remove of handlers) remove();
  // The lock stays: it tells the next start that this one was broken off.
  if (interruption !== null) process.exit(128 + constants.signals[interruption]);
  return code === 0;
}

/**
 * Two scripts started at once must not both write node_modules. The lock names its process and when that began, so that
 * a dead one's doesn't count, nor an empty one that a full disk left. Answers whether there was such a one: then an
 * install was broken off.
 */
function takeInstallLock() {
  let hasSaidSo = false;
  for (;;) {
    const taken = takeLock(installLock);
    if (taken !== null) return taken.wasLeftOver;
    if (!hasSaidSo)
      console.error(
        `edgeplane: process ${readLock(installLock)?.holder ?? "another"} installs the dependencies; waiting for it…`,
      );
    hasSaidSo = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
  }
}

/**
 * Null where another holds it, or may in a moment. A lock that nobody holds is not removed and made anew, as two might
 * do at once: it is replaced in one step, by who holds a lock that is named by what stands in it. Whoever replaces it
 * changes that name, and so takes it from all who still judge by what they have read. Such a lock may be left over,
 * too.
 */
function takeLock(file) {
  if (makeLock(file)) return { wasLeftOver: false };
  const found = readLock(file);
  if (found === null || found.holder !== null) return null;
  const right = `${file}.${found.id}`;
  if (takeLock(right) === null) return null;
  try {
    if (readLock(file)?.id !== found.id) return null;
    const own = `${right}.own`;
    rmSync(own, { force: true });
    makeLock(own);
    renameSync(own, file);
    return { wasLeftOver: true };
  } finally {
    rmSync(right, { force: true });
  }
}

/** Makes the file of a lock with this process in it; false where there is one. */
function makeLock(file) {
  try {
    writeFileSync(file, `${process.pid} ${startOf(process.pid)}`, { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EACCES" || error.code === "EROFS")
      fail(`the folder ${root} is read-only; clone it where you may write.`);
    if (error.code === "ENOSPC") fail(`the disk of ${root} is full.`);
    if (error.code !== "EEXIST") throw error;
    return false;
  }
}

/** What is being written to the lock takes no longer than this. */
const LOCK_WRITE_MS = 2000;

/**
 * A lock's content as a name, and the number of the process that holds it; `holder` null when nobody does. Null where
 * there is no lock.
 */
function readLock(file) {
  try {
    const text = readFileSync(file, "utf8");
    const { ino, mtimeMs } = statSync(file);
    const id = createHash("sha256").update(`${text} ${ino} ${mtimeMs}`).digest("hex").slice(0, 16);
    const [pid = "", startedAt] = text.split(" ");
    if (pid === "") return { id, holder: Date.now() - mtimeMs < LOCK_WRITE_MS ? "another" : null };
    return { id, holder: isRunning(Number(pid)) && startOf(Number(pid)) === startedAt ? pid : null };
  } catch {
    return null;
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** What tells a process from a later one of its number, where /proc says when it began. */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return "unknown";
  }
}

/** Installs what the lock names, unless that is there already; ends the process with one clear line when it can't. */
export async function ensureInstalled() {
  const hash = lockHash();
  if (isInstalled(hash)) return;
  if (process.env.EDGEPLANE_SKIP_INSTALL === "1" && findNode() !== null) return;
  const brokeOff = takeInstallLock();
  let failed = false;
  try {
    if (!brokeOff && isInstalled(hash)) return;
    // `npm ci` empties node_modules first; where something may be running from it, or the registry be away, what
    // changed is enough. What an install
    // that was broken off has left, npm can't mend.
    if (brokeOff) rmSync(join(root, "node_modules"), { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
    const verb = brokeOff || !existsSync(join(root, "node_modules")) ? ["ci"] : ["install", "--no-save"];
    failed = !(await install(verb));
    if (!failed && findNode() === null) await npm(["rebuild", "node"]);
    if (!failed && findNode() === null && verb[0] !== "ci") failed = !(await install(["ci"]));
    if (!failed) writeFileSync(stampFile, hash);
  } finally {
    rmSync(installLock, { force: true });
  }
  if (failed) fail("npm could not install the dependencies; its message stands above. Is the registry within reach?");
}

async function install(verb) {
  console.error(`edgeplane: installing dependencies (npm ${verb.join(" ")})…`);
  return npm([...verb, "--no-audit", "--no-fund", "--loglevel=error"]);
}

/** The Node for everything else: 24 as installed, or the running one when that will do. */
export function modernNode() {
  return (
    findNode() ?? fail(`Node ${process.version} is too old and the npm package "node" did not install; use Node 24.`)
  );
}

/**
 * The environment for tools: the right Node first on the PATH, then the installed tools; no proxy between processes of
 * this machine; and what Node compiles is kept, which halves the start of every program.
 */
export function toolEnv() {
  const path = [dirname(modernNode()), join(root, "node_modules/.bin"), process.env.PATH ?? ""];
  const direct = [process.env.NO_PROXY ?? process.env.no_proxy, "127.0.0.1", "localhost", "::1"];
  const noProxy = direct.filter((host) => host !== undefined && host !== "").join(",");
  const separator = process.platform === "win32" ? ";" : ":";
  const cache = process.env.NODE_COMPILE_CACHE ?? join(root, "node_modules/.cache/edgeplane/compiled");
  return {
    ...process.env,
    PATH: path.join(separator),
    NO_PROXY: noProxy,
    no_proxy: noProxy,
    NODE_COMPILE_CACHE: cache,
  };
}

/** Runs a script under the project's Node, in a folder, and ends this process as it ends. Signals go on to it. */
export function runUnder(script, args, cwd) {
  const child = spawn(modernNode(), ["--disable-warning=ExperimentalWarning", script, ...args], {
    cwd,
    env: toolEnv(),
    stdio: "inherit",
  });
  let hasHeard = false;
  function handOn(signal) {
    hasHeard = true;
    child.kill(signal);
  }
  // A terminal's Ctrl-C reaches the child by itself; a signal sent to this process alone must be handed on.
  process.on("SIGINT", () => {
    if (process.stdin.isTTY) hasHeard = true;
    else handOn("SIGINT");
  });
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => handOn(signal));
  // npm answers a signal by ending its shell, and neither hands it on: who lost the parent that npm gave it is meant,
  // once.
  if (process.env.npm_lifecycle_event !== undefined) {
    const parent = process.ppid;
    const watch = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(watch);
      if (!hasHeard) handOn("SIGTERM");
    }, 200).unref();
  }
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 15)));
  child.on("error", (error) => fail(`could not start Node: ${error.message}`));
}
