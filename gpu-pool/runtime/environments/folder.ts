/** Where the environments of a host lie, and what else its pools share. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** All pools of one user have the same; root's can be read by the users that its models run as. */
function usualFolder(what: string): string {
  if (process.getuid?.() === 0) return join("/var/cache/edgeplane", what);
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "edgeplane", what);
}

/** The reason why a folder can't be written to; null when it can. Makes it. */
export function whyUnusable(dir: string): string | null {
  try {
    mkdirSync(dir, { recursive: true });
    accessSync(dir, constants.W_OK | constants.X_OK);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * The one that was asked for; else the usual one, or one in the pool's own folder where that can't be written to: a
 * service's user may have no home.
 */
export function environmentsFolder(asked: string | undefined, stateDir: string): string {
  return sharedFolder("environments", asked, stateDir);
}

/** The same for the files of pushed models. */
export function bundlesFolder(asked: string | undefined, stateDir: string): string {
  return sharedFolder("bundles", asked, stateDir);
}

function sharedFolder(what: string, asked: string | undefined, stateDir: string): string {
  if (asked !== undefined) return asked;
  const usual = usualFolder(what);
  return whyUnusable(usual) === null ? usual : join(stateDir, what);
}
