/** `npm run backup`: copies the state of an edge while it runs, and puts a copy back. */
import { isAbsolute, join, resolve } from "node:path";
import { createBackup, restoreBackup } from "./lib/backup.ts";
import type { BackupManifest } from "./lib/backup.ts";
import { plainMessage } from "./lib/stack-error.ts";

const HELP = `npm run backup: copies the state of an edge of your own machine, and puts a copy back (docs/self-host.md).

  npm run backup -- create <folder>    while the edge runs, or not; the folder must not be there
  npm run backup -- restore <folder>   into a state folder that is not there, or empty

  EDGEPLANE_STATE_DIR  the state folder (.edgeplane)

The copy holds secrets: keep it as you keep those. Exit codes: 0 done, 1 it failed, 2 wrong use.`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  const [verb, folder, ...rest] = args;
  if ((verb !== "create" && verb !== "restore") || folder === undefined || rest.length > 0) {
    console.error("backup: say `create <folder>` or `restore <folder>` (--help tells more)");
    return 2;
  }
  const stateDir = resolve(process.env["EDGEPLANE_STATE_DIR"] ?? ".edgeplane");
  // npm runs scripts in the project's folder, and tells where it was called.
  const path = isAbsolute(folder) ? folder : join(process.env["INIT_CWD"] ?? "", folder);
  try {
    if (verb === "create") tell("copied", await createBackup(stateDir, path, (line) => console.log(`backup: ${line}`)));
    else tell("put back", await restoreBackup(path, stateDir));
    return 0;
  } catch (error) {
    console.error(`backup: ${plainMessage(error)}`);
    return 1;
  }
}

function tell(what: string, { databases, blobs, bytes, created_at: at }: BackupManifest): void {
  console.log(
    `backup: ${what} ${databases.length} databases and ${blobs} blobs, ${Math.round(bytes / 1024)} KiB, of ${at}`,
  );
}
