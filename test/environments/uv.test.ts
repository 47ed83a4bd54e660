/**
 * uv itself brings a Python that the machine lacks. The download is a copy of this machine's Python, packed as uv's
 * are, and the "machine" is a PATH on which only another version is found. Each preparation is a process of its own, as
 * pools are.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { GREETING_WHEEL, makeGreetingWheel } from "../../gpu-pool/runtime/environments/greeting-wheel.ts";

const PreparedSchema = z.object({ python: z.string(), warnings: z.array(z.string()), lines: z.array(z.string()) });
type Prepared = z.infer<typeof PreparedSchema>;

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const root = mkdtempSync(join(tmpdir(), "edgeplane-uv-"));
const home = join(root, "home");
const packed = join(root, "packed");
const modelDir = join(root, "model");
/** The version of the Python that is packed; the PATH has another one. */
let asked = "";
let machine: Record<string, string> = {};

const which = (program: string): string =>
  execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();

beforeAll(async () => {
  const python = execFileSync("python3", ["-c", "import os, sys; print(os.path.realpath(sys.executable))"], {
    encoding: "utf8",
  }).trim();
  for (const folder of [home, packed, modelDir, join(root, "bin")]) mkdirSync(folder);
  await makeGreetingWheel(modelDir);
  asked = execFileSync(python, [here("pack_python.py"), packed], { encoding: "utf8" }).trim();
  const other = asked === "3.8" ? 9 : 8;
  writeFileSync(
    join(root, "bin/python3"),
    `#!/bin/sh\ncase "$*" in *version_info*) printf '%s\\n3\\n${other}\\n1\\n' "$0";; *) exec ${python} "$@";; esac\n`,
    { mode: 0o755 },
  );
  for (const program of ["sh", "du"]) symlinkSync(which(program), join(root, "bin", program));
  machine = {
    PATH: join(root, "bin"),
    HOME: home,
    PYENV_ROOT: join(root, "no-pyenv"),
    EDGEPLANE_UV: which("uv"),
    UV_CACHE_DIR: join(root, "cache"),
    UV_PYTHON_DOWNLOADS_JSON_URL: `file://${join(packed, "downloads.json")}`,
  };
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function prepare(
  build: object,
  pythons: string,
  state: string,
  env: Record<string, string> = {},
): Promise<Prepared> {
  const child = spawn(process.execPath, [here("prepare.ts"), modelDir, join(root, state)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...machine, UV_PYTHON_INSTALL_DIR: join(root, pythons), ...env },
  });
  child.stdin.end(JSON.stringify({ build }));
  const [said, complained] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if (said === "") throw new Error(complained);
  return PreparedSchema.parse(JSON.parse(said));
}

const say = (python: string, code: string): string => execFileSync(python, ["-c", code], { encoding: "utf8" }).trim();
const VERSION = "import sys; print('{}.{}'.format(*sys.version_info[:2]))";

test("a version that is not here is brought, says how it gets on, and touches nothing else of the home folder", async () => {
  const { python, warnings, lines } = await prepare({ python_version: asked }, "pythons", "plain");
  expect(python.startsWith(join(root, "pythons"))).toBe(true);
  expect(say(python, VERSION)).toBe(asked);
  expect(warnings).toEqual([]);
  expect(lines[0]).toBe(`Python ${asked} is not here; asking uv for it`);
  expect(lines.join("\n")).toMatch(/Downloading cpython-.*MiB[\s\S]*Installed Python/);
  expect(existsSync(join(home, ".local/bin"))).toBe(false);
});

test("two pools that want it, and the same packages, at once: both get it, one builds", async () => {
  const build = { python_version: asked, python_packages: [`./${GREETING_WHEEL}`] };
  const both = await Promise.all([prepare(build, "raced", "shared"), prepare(build, "raced", "shared")]);
  const [first, second] = both;
  expect(first.python).toBe(second.python);
  expect(say(first.python, VERSION)).toBe(asked);
  // Before anything has imported it.
  expect(existsSync(say(first.python, "import importlib.util as i; print(i.find_spec('greeting').cached)"))).toBe(true);
  expect(say(first.python, "import greeting; print(greeting.TEXT)")).toBe("hello");
  expect(say(first.python, "import sys; print(sys.base_prefix)").startsWith(join(root, "raced"))).toBe(true);
  const built = both.flatMap(({ lines }) => lines.filter((line) => line.startsWith("building an environment")));
  expect(built).toEqual([expect.stringContaining("with uv: 1 requirements")]);
  expect(both.map(({ warnings }) => warnings)).toEqual([[], []]);
  const third = await prepare(build, "raced", "shared");
  expect(third.python).toBe(first.python);
  expect(third.lines.filter((line) => line.startsWith("building"))).toEqual([]);
});

test("what uv can't bring is replaced by the nearest, and the warning says why", async () => {
  const { python, warnings } = await prepare({ python_version: "3.99" }, "none", "nearest");
  expect(python).toBe(join(root, "bin/python3"));
  expect(warnings).toEqual([
    expect.stringMatching(
      /^the model wants Python 3\.99, which is not here, and uv could not bring it \(No download found for request: .*\); it runs on 3\.[89]\.1$/,
    ),
  ]);
});

test("so is a download that fails, and nothing half-made stays", async () => {
  const list = readFileSync(join(packed, "downloads.json"), "utf8").replace("python.tar.gz", "gone.tar.gz");
  writeFileSync(join(packed, "gone.json"), list);
  const gone = { UV_PYTHON_DOWNLOADS_JSON_URL: `file://${join(packed, "gone.json")}` };
  const { python, warnings } = await prepare({ python_version: asked }, "gone", "gone", gone);
  expect(python).toBe(join(root, "bin/python3"));
  expect(warnings.join()).toMatch(/uv could not bring it \(Failed to install .*: .*No such file/);
  const again = await prepare({ python_version: asked }, "gone", "gone");
  expect(say(again.python, VERSION)).toBe(asked);
});

test("where uv reaches no registry, pip is tried with its own settings", async () => {
  const { python, lines } = await prepare({ python_packages: ["greeting==1.0"] }, "pythons", "pip", {
    PATH: process.env["PATH"] ?? "",
    UV_DEFAULT_INDEX: "http://127.0.0.1:9/simple",
    UV_HTTP_RETRIES: "0",
    PIP_NO_INDEX: "1",
    PIP_FIND_LINKS: modelDir,
  });
  expect(lines).toContain("uv reached no package registry; trying pip");
  expect(say(python, "import greeting; print(greeting.TEXT)")).toBe("hello");
});
