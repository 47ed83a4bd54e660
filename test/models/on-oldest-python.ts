/**
 * Runs the tests of the model process on the oldest Python that the pool finds on this machine (PATH, pyenv), down to
 * the oldest that it serves. `node test/models/on-oldest-python.ts`. For another one:
 * `EDGEPLANE_TEST_PYTHON=/path/to/python3 npx vitest run --project=models`.
 */
import { runCommand } from "../../scripts/lib/command.ts";
import { findInterpreters, versionOf } from "../../gpu-pool/runtime/environments/interpreters.ts";

const found = await findInterpreters();
const [oldest] = found.toSorted((a, b) => a.minor - b.minor);
if (oldest === undefined) {
  process.stderr.write("No Python 3.8 or newer is on the PATH.\n");
  process.exit(1);
}
process.stdout.write(`Python ${versionOf(oldest)} (${oldest.path})\n`);
const { code } = await runCommand(["vitest", "run", "--project=models"], {
  env: { EDGEPLANE_TEST_PYTHON: oldest.path },
  echo: true,
});
process.exit(code);
