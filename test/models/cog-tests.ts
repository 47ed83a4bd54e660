/**
 * Runs Cog's own integration tests that only build and predict, without Cog: each folder's environment is made as a
 * pool makes it (system packages and `build.run` included, so run it as root on a machine that may be changed), its
 * model process is driven directly, and what Cog's command would print is held against what the test expects. What only
 * that command itself says on stderr is left out.
 *
 *     node test/models/cog-tests.ts /path/to/cog/integration-tests/tests [PART-OF-A-NAME…]
 *
 * Source of the format: https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { environmentsFolder } from "../../gpu-pool/runtime/environments/folder.ts";
import { prepareEnvironment } from "../../gpu-pool/runtime/environments/index.ts";
import { parseCogYaml } from "../../gpu-pool/runtime/models/cog-yaml.ts";
import { isObject, type ItemResult, type Json, type Message, type ModelProcess, withModel } from "./driver.ts";

const COMMANDS: ReadonlySet<string> = new Set(["cog build", "cog predict", "cog run", "stdout", "stderr"]);
const OF_THE_COMMAND_LINE = /No output generated|Written output|deprecated|required input|unknown input/;

type Line = { words: string[]; fails: boolean };
type CogTest = { lines: Line[]; files: Map<string, string> };

/** The script and the files of a txtar archive. */
function parse(text: string): CogTest {
  const [script = "", ...rest] = text.split(/^-- (.+) --\n/m);
  const files = new Map<string, string>();
  for (let index = 0; index + 1 < rest.length; index += 2) files.set(rest[index] ?? "", rest[index + 1] ?? "");
  const lines = script
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({ fails: line.startsWith("!"), words: wordsOf(line.replace(/^[!?]\s*/, "")) }));
  return { lines, files };
}

/** A quoted part takes spaces; two quotes in it are one. */
function wordsOf(line: string): string[] {
  const parts = line.match(/(?:'(?:[^']|'')*'|[^\s'])+/g) ?? [];
  return parts.map((part) =>
    part.replaceAll(/'((?:[^']|'')*)'/g, (_quoted, inner: string) => inner.replaceAll("''", "'")),
  );
}

const kindOf = ({ words: [first = "", second = ""] }: Line): string => (first === "cog" ? `cog ${second}` : first);

function isOurs({ lines }: CogTest): boolean {
  const kinds = lines.map(kindOf);
  return (
    kinds.every((kind) => COMMANDS.has(kind)) && kinds.some((kind) => kind === "cog predict" || kind === "cog run")
  );
}

function at(value: Json | undefined, ...path: string[]): Json | undefined {
  let place = value;
  for (const key of path) place = isObject(place) ? place[key] : undefined;
  return place;
}

/** The types that an input may have, by the model's schema. */
function typesOf(loaded: Message, name: string): Json[] {
  const schemas = at(loaded["schema"], "components", "schemas");
  const own = at(schemas, "Input", "properties", name);
  const all = at(own, "allOf");
  const ref = at(Array.isArray(all) ? all[0] : own, "$ref");
  const schema = typeof ref === "string" ? at(schemas, ref.replace(/.*\//, "")) : own;
  const either = at(schema, "anyOf");
  return (Array.isArray(either) ? either : [schema]).flatMap((one) => at(one, "type") ?? []);
}

/** `-i name=value`, as Cog's command reads it. */
function addInput(input: Message, text: string, dir: string, loaded: Message): void {
  const [name = "", ...rest] = text.split("=");
  const written = rest.join("=");
  const types = typesOf(loaded, name);
  let value: Json = written;
  if (written.startsWith("@")) {
    const type = written.endsWith("jpg") ? "image/jpeg" : "text/plain";
    value = `data:${type};base64,${readFileSync(join(dir, written.slice(1))).toString("base64")}`;
  } else if (
    !types.includes("string") ||
    (types.some((type) => type === "integer" || type === "number") && written !== "" && !Number.isNaN(Number(written)))
  ) {
    value = parsedOr(written);
  }
  if (!types.includes("array")) input[name] = value;
  else input[name] = [at(input, name) ?? [], value].flat();
}

function parsedOr(text: string): Json {
  try {
    const value: Json = JSON.parse(text) as Json;
    return value;
  } catch {
    return text;
  }
}

function inputOf(words: readonly string[], dir: string, loaded: Message): Message {
  const input: Message = {};
  words.forEach((word, index) => {
    const next = words[index + 1] ?? "";
    if (word === "-i") addInput(input, next, dir, loaded);
    if (word !== "--json") return;
    const given = parsedOr(next.startsWith("@") ? readFileSync(join(dir, next.slice(1)), "utf8") : next);
    if (isObject(given)) Object.assign(input, given);
  });
  return input;
}

function printed(result: ItemResult, asJson: boolean): string {
  const { output, status, metrics, seconds, error } = result;
  if (asJson) return JSON.stringify({ output, status, error, metrics: { ...metrics, predict_time: seconds } }, null, 2);
  return typeof output === "string" ? output : JSON.stringify(output, null, 2);
}

/** What is not as the test expects it. */
async function problemsOf({ lines }: CogTest, dir: string, model: ModelProcess): Promise<string[]> {
  const loaded = await model.waitFor("loaded");
  const known = at(loaded["schema"], "components", "schemas", "Input", "properties");
  const problems: string[] = [];
  const said = { stdout: "", stderr: "" };
  for (const line of lines) {
    const [first, expected = ""] = line.words;
    if (first === "stdout" || first === "stderr") {
      if (first === "stderr" && OF_THE_COMMAND_LINE.test(expected)) continue;
      if (new RegExp(expected, "m").test(said[first]) === line.fails)
        problems.push(`${line.words.join(" ")}, but it is ${JSON.stringify(said[first].slice(-300))}`);
    } else if (kindOf(line) !== "cog build") {
      const input = inputOf(line.words, dir, loaded);
      const result = await model.predict(input);
      said.stdout = printed(result, line.words.includes("--json"));
      said.stderr = `${model.printed}${result.logs}${result.error ?? ""}`;
      // Cog's command refuses an input that is not in the schema; the pool's edge lets it fall.
      const isRefused = Object.keys(input).some((name) => isObject(known) && !(name in known));
      if ((result.status !== "succeeded" || isRefused) !== line.fails)
        problems.push(`${line.words.join(" ")}: ${result.status}, ${result.error}`);
    }
  }
  return problems;
}

async function run(name: string, cogTest: CogTest): Promise<string[]> {
  const root = mkdtempSync(join(tmpdir(), "edgeplane-cog-"));
  const dir = join(root, name);
  try {
    for (const [path, content] of cogTest.files) {
      mkdirSync(dirname(join(dir, path)), { recursive: true });
      writeFileSync(join(dir, path), content);
    }
    const { python, env, release } = await prepareEnvironment({
      modelDir: dir,
      cog: parseCogYaml(cogTest.files.get("cog.yaml") ?? ""),
      environmentsDir: environmentsFolder(undefined, root),
      log: (line) => console.log(`    ${line}`),
      allowBuildRun: true,
      allowSystemPackages: true,
    });
    return await withModel(dir, (model) => problemsOf(cogTest, dir, model), { python, env }).finally(release);
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const [folder, ...parts] = process.argv.slice(2);
if (folder === undefined) {
  console.error("node test/models/cog-tests.ts /path/to/cog/integration-tests/tests [PART-OF-A-NAME…]");
  process.exit(2);
}
let passed = 0;
let failed = 0;
for (const file of readdirSync(folder).toSorted()) {
  const name = file.replace(/\.txtar$/, "");
  if (name === file || (parts.length > 0 && !parts.some((part) => name.includes(part)))) continue;
  const cogTest = parse(readFileSync(join(folder, file), "utf8"));
  if (!isOurs(cogTest)) continue;
  const problems = await run(name, cogTest);
  if (problems.length === 0) passed += 1;
  else failed += 1;
  console.log(problems.length === 0 ? `ok   ${name}` : `FAIL ${name}\n     ${problems.join("\n     ")}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
