/** Fetches the pinned jars once into a cache, checking every byte against its SHA-256, also on later starts. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { jars, KAFKA_VERSION } from "./jars.ts";

const PARALLEL = 6;
const TIMEOUT_MS = 120_000;
const ATTEMPTS = 3;
const CENTRAL = "https://repo1.maven.org/maven2";

/** The Maven repository to download from: `MAVEN_REPOSITORY`, or Maven Central. */
export function repositoryUrl(env: NodeJS.ProcessEnv): string {
  return (env["MAVEN_REPOSITORY"] ?? CENTRAL).replace(/\/+$/, "");
}

/** The folder that keeps the jars: under `XDG_CACHE_HOME`, or `~/.cache`. */
export function cacheDir(env: NodeJS.ProcessEnv): string {
  return join(env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "edgeplane", `kafka-${KAFKA_VERSION}`);
}

/**
 * Makes sure that all jars are in the cache and returns the class path. A jar that the local Maven repository
 * (`~/.m2/repository`) has is copied from there. Throws when one can't be had, or has other bytes than it should.
 */
export async function classPath(env: NodeJS.ProcessEnv, log: (line: string) => void): Promise<string> {
  const folder = cacheDir(env);
  await mkdir(folder, { recursive: true });
  const waiting = [...jars];
  const paths: string[] = [];
  let fetched = 0;
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [path, sha256] = next;
      const target = join(folder, path.slice(path.lastIndexOf("/") + 1));
      paths.push(target);
      if (await intact(target, sha256)) continue;
      if (fetched++ === 0) log(`Fetching Apache Kafka ${KAFKA_VERSION} (${jars.length} jars, 45 MB) to ${folder}`);
      await obtain(path, sha256, target, env);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return paths.join(":");
}

async function obtain(path: string, sha256: string, target: string, env: NodeJS.ProcessEnv): Promise<void> {
  const local = join(homedir(), ".m2", "repository", path);
  const bytes = (await intact(local, sha256)) ? await readFile(local) : await download(path, sha256, env);
  const partial = `${target}.${process.pid}.part`;
  await mkdir(dirname(target), { recursive: true });
  await writeFile(partial, bytes);
  await rename(partial, target);
}

async function download(path: string, sha256: string, env: NodeJS.ProcessEnv): Promise<Uint8Array> {
  const url = `${repositoryUrl(env)}/${path}`;
  let failure = "";
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (!response.ok) {
        failure = `HTTP ${response.status}`;
        continue;
      }
      const bytes = new Uint8Array(await response.arrayBuffer());
      const found = createHash("sha256").update(bytes).digest("hex");
      if (found === sha256) return bytes;
      failure = `its SHA-256 is ${found}, expected ${sha256}`;
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      failure = cause instanceof Error ? cause.message : String(cause);
    }
  }
  throw new Error(
    `Can't get ${url}: ${failure}. Set MAVEN_REPOSITORY to a Maven repository that this machine reaches.`,
  );
}

async function intact(path: string, sha256: string): Promise<boolean> {
  try {
    return (
      createHash("sha256")
        .update(await readFile(path))
        .digest("hex") === sha256
    );
  } catch {
    return false;
  }
}
