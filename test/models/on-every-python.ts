/**
 * Runs the tests of the model process under every Python that the pool finds on this machine (PATH, pyenv) and serves:
 * all of them on the oldest and the newest, every model folder on those between. The usual `python3` is left out, which
 * `npm test` has. `node test/models/on-every-python.ts`. For one: `EDGEPLANE_TEST_PYTHON=/path/to/python3 npx vitest
 * run
 * --project=models`.
 *
 * The oldest Python that is served must be among them in CI (CI=true); uv is asked to bring it where it is not there.
 */
import { runCommand } from "../../scripts/lib/command.ts";
import { defaultInterpreter, findInterpreters, oldestMinor } from "../../gpu-pool/runtime/environments/interpreters.ts";
import { type Interpreter, versionOf } from "../../gpu-pool/runtime/environments/interpreters.ts";
import { bringPython } from "../../gpu-pool/runtime/environments/uv.ts";

const oldest = `3.${oldestMinor}`;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** One of each minor version, the oldest first. */
const byMinor = new Map<number, Interpreter>();
for (const one of await findInterpreters()) {
  const known = byMinor.get(one.minor);
  if (known === undefined || known.patch < one.patch) byMinor.set(one.minor, one);
}
if (!byMinor.has(oldestMinor)) {
  const brought = await bringPython(oldest, say);
  if (brought !== null && "interpreter" in brought) byMinor.set(oldestMinor, brought.interpreter);
  else {
    const why = brought === null ? "there is no uv to bring it" : `uv could not bring it: ${brought.why}`;
    say(`LEFT OUT: Python ${oldest} is neither on the PATH nor in pyenv, and ${why}. "pyenv install ${oldest}" does.`);
    if (process.env["CI"] === "true") process.exit(1);
  }
}
const usual = (await defaultInterpreter())?.minor;
const others = [...byMinor.values()].filter(({ minor }) => minor !== usual).toSorted((a, b) => a.minor - b.minor);
if (others.length === 0) {
  say("There is no other Python on this machine.");
  process.exit(1);
}
const failed: string[] = [];
for (const one of others) {
  const isAtAnEnd = one === others[0] || one === others.at(-1);
  say(`Python ${versionOf(one)} (${one.path})`);
  const only = isAtAnEnd ? [] : ["test/models/models.test.ts"];
  const { code } = await runCommand(["vitest", "run", "--project=models", ...only], {
    env: { EDGEPLANE_TEST_PYTHON: one.path },
    echo: true,
  });
  if (code !== 0) failed.push(versionOf(one));
}
say(`${others.length} Pythons beside the usual one: ${others.map(versionOf).join(", ")}`);
if (failed.length > 0) say(`Failed under ${failed.join(", ")}`);
process.exit(failed.length === 0 ? 0 : 1);
