/** The `edgeplane` command; `bin.mjs` starts it under the project's Node. */
import { processIo } from "./io.ts";
import { run } from "./program.ts";

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});
process.exitCode = await run(processIo(), process.argv.slice(2));
