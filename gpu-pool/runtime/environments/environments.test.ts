import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { buildEnvironment, pythonOf } from "./builder.ts";
import { type CogYaml, CogYamlSchema } from "./cog-yaml.ts";
import { runCommand } from "./command.ts";
import { declaredConcurrency } from "./concurrency.ts";
import { makeGreetingWheel } from "./greeting-wheel.ts";
import { type PreparedEnvironment, prepareEnvironment, type PrepareOptions } from "./index.ts";
import { chooseInterpreter, defaultInterpreter, type Interpreter } from "./interpreters.ts";
import { readRequirements } from "./requirements.ts";

const root = mkdtempSync(join(tmpdir(), "edgeplane-environments-"));
const slowTestMs = 120_000;
let folders = 0;

function newFolder(files: Record<string, string> = {}): string {
  const dir = join(root, `model-${(folders += 1)}`);
  mkdirSync(dir);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

async function modelWithWheel(): Promise<string> {
  const dir = newFolder({
    "requirements.txt": "# the model's own\n./greeting-1.0-py3-none-any.whl\ncog==0.9.4  # shadowed\n",
  });
  await makeGreetingWheel(dir);
  return dir;
}

function parse(value: unknown): CogYaml {
  return CogYamlSchema.parse(value);
}

function prepare(modelDir: string, cog: unknown, more: Partial<PrepareOptions> = {}): Promise<PreparedEnvironment> {
  return prepareEnvironment({ modelDir, cog: parse(cog), environmentsDir: join(root, "kept"), log: () => {}, ...more });
}

beforeAll(() => {
  process.env["EDGEPLANE_UV"] = "";
  process.env["PIP_NO_INDEX"] = "1";
});

afterEach(() => vi.unstubAllEnvs());
afterAll(() => {
  delete process.env["EDGEPLANE_UV"];
  delete process.env["PIP_NO_INDEX"];
  rmSync(root, { recursive: true, force: true });
});

describe("cog.yaml", () => {
  test("takes Cog's keys, old and new, and lets unknown ones through", () => {
    const cog = parse({
      build: { python_version: 3.1, run: ["a", { command: "b", mounts: [] }], fast: true },
      predict: "predict.py:Predictor",
      train: "x",
    });
    expect(cog.build.python_version).toBe("3.10");
    expect(cog.build.run).toEqual(["a", "b"]);
    expect(cog.edgeplane.enabled).toBe(true);
    expect(parse({}).build).toEqual({});
  });

  test("refuses a key of edgeplane that it does not know, and a version that is none", () => {
    expect(() => parse({ edgeplane: { maxBatchsize: 8 } })).toThrow("maxBatchsize");
    expect(() => parse({ build: { python_version: "2.7" } })).toThrow('a Python version such as \\"3.12\\"');
  });
});

describe("declaredConcurrency", () => {
  test("reads cog.yaml first, then the decorator in the predictor's file", async () => {
    const code = "import cog\n\nclass Runner:\n    @cog.concurrent(max=4)\n    async def run(self) -> str: ...\n";
    const dir = newFolder({ "run.py": code, "other.py": "" });
    expect(await declaredConcurrency(dir, parse({ run: "run.py:Runner" }))).toBe(4);
    expect(await declaredConcurrency(dir, parse({}))).toBe(4);
    expect(await declaredConcurrency(dir, parse({ run: "run.py:Runner", concurrency: { max: 7 } }))).toBe(7);
    expect(await declaredConcurrency(dir, parse({ run: "other.py:Runner" }))).toBe(1);
    expect(await declaredConcurrency(dir, parse({ run: "../../etc/hostname" }))).toBe(1);
  });
});

describe("interpreters", () => {
  const all: Interpreter[] = [8, 10, 12].map((minor) => ({ path: `/py3.${minor}`, major: 3, minor, patch: 4 }));

  test("the same minor version is right, else the nearest, the newer of two", () => {
    expect(chooseInterpreter("3.10", all)).toMatchObject({ exact: true, interpreter: { minor: 10 } });
    expect(chooseInterpreter("3.10.9", all)).toMatchObject({ exact: true, interpreter: { minor: 10 } });
    expect(chooseInterpreter("3.11", all)).toMatchObject({ exact: false, interpreter: { minor: 12 } });
    expect(chooseInterpreter("3.14", all)).toMatchObject({ exact: false, interpreter: { minor: 12 } });
    expect(chooseInterpreter("3.11", [])).toBeNull();
  });
});

describe("requirements", () => {
  test("follow -r, join continued lines, drop comments and cog itself", async () => {
    const dir = newFolder({
      "requirements.txt": "-r more.txt\ncog>=0.9\nnumpy \\\n  >=1\n#c\n",
      "more.txt": "--extra-index-url https://x.test\nscipy # y\n",
    });
    const read = await readRequirements(dir, parse({ build: { python_requirements: "requirements.txt" } }));
    expect(read.lines).toEqual(["--extra-index-url https://x.test", "scipy", "numpy >=1"]);
  });

  test("are others when a file that they name is another: a wheel, a folder, a list of constraints", async () => {
    const files = {
      "requirements.txt": "-c limits.txt\n./package[extra]\nwheel @ file:./w.whl\n-e .hidden/edit\n",
      "limits.txt": "numpy<3\n",
      "package/setup.py": "1",
      "package/lib/code.py": "1",
      "w.whl": "1",
      ".hidden/edit/pyproject.toml": "1",
    };
    const hashOf = async (changed: Record<string, string> = {}): Promise<string> => {
      const dir = newFolder({ ...files, ...changed });
      return (await readRequirements(dir, parse({ build: { python_requirements: "requirements.txt" } }))).hash;
    };
    const before = await hashOf();
    expect(await hashOf({ "weights.bin": "2" })).toBe(before);
    const named = ["limits.txt", "package/lib/code.py", "package/setup.py", "w.whl", ".hidden/edit/pyproject.toml"];
    for (const path of named) expect([path, await hashOf({ [path]: "2" })]).not.toEqual([path, before]);
  });

  test("refuse two lists, a file that is missing, and one outside the folder", async () => {
    writeFileSync(join(root, "outside.txt"), "numpy\n");
    const dir = newFolder({ "requirements.txt": "x\n" });
    const both = parse({ build: { python_requirements: "requirements.txt", python_packages: ["a"] } });
    await expect(readRequirements(dir, both)).rejects.toThrow("keep one of them");
    await expect(readRequirements(dir, parse({ build: { python_requirements: "none.txt" } }))).rejects.toThrow(
      "does not exist",
    );
    await expect(readRequirements(dir, parse({ build: { python_requirements: "../outside.txt" } }))).rejects.toThrow(
      "outside the model's folder",
    );
  });
});

describe("prepareEnvironment", () => {
  test("uses the plain interpreter where nothing is to be installed", async () => {
    const made = await prepare(newFolder(), {
      run: "run.py:Runner",
      environment: ["A=b=c"],
      concurrency: { max: 3 },
      build: { python_packages: ["cog==0.9"] },
    });
    expect(made.python).toMatch(/^\/.*python/);
    expect(made.env).toEqual({ A: "b=c", EDGEPLANE_MODEL_REF: "run.py:Runner", COG_MAX_CONCURRENCY: "3" });
    expect(made.warnings).toEqual([]);
  });

  test("warns of a Python that is not here", async () => {
    const made = await prepare(newFolder(), { build: { python_version: "3.99" } });
    expect(made.warnings).toEqual([expect.stringContaining("wants Python 3.99")]);
  });

  test("refuses build.run unless it is allowed", async () => {
    await expect(prepare(newFolder(), { build: { run: ["touch /tmp/x"] } })).rejects.toThrow(
      "start the pool with --allow-build-run",
    );
  });

  test(
    "builds once for two that want the same, and finds it again",
    async () => {
      const dir = await modelWithWheel();
      const lines: string[] = [];
      const cog = {
        build: {
          python_requirements: "requirements.txt",
          run: ["python -c 'import greeting' && pip --version > \"$VIRTUAL_ENV/whose-pip\""],
        },
      };
      const options = { log: (line: string): void => void lines.push(line), allowBuildRun: true };
      const [first, second] = await Promise.all([prepare(dir, cog, options), prepare(dir, cog, options)]);
      expect({ ...first, release: null }).toEqual({ ...second, release: null });
      expect(lines.filter((line) => line.startsWith("building"))).toHaveLength(1);
      expect(lines.filter((line) => line.includes("waiting for it"))).toHaveLength(1);
      expect(lines.at(-1)).toMatch(/ready: \d+ MB in/);
      const said = await runCommand(first.python, ["-c", "import greeting; print(greeting.TEXT)"]);
      expect(said.stdout).toBe("hello\n");
      const folder = first.env["VIRTUAL_ENV"] ?? "";
      expect(readFileSync(join(folder, "whose-pip"), "utf8")).toContain(folder);
      lines.length = 0;
      await prepare(dir, cog, options);
      expect(lines).toEqual([]);
    },
    slowTestMs,
  );

  test(
    "builds anew what a machine left that lost its power, and puts no pip into it that nothing calls",
    async () => {
      const dir = await modelWithWheel();
      const lines: string[] = [];
      const cog = { build: { python_requirements: "requirements.txt" } };
      const options = { log: (line: string): void => void lines.push(line) };
      const { env } = await prepare(dir, cog, options);
      writeFileSync(join(env["VIRTUAL_ENV"] ?? "", "edgeplane.json"), "");
      const { python } = await prepare(dir, cog, options);
      expect(lines.filter((line) => line.startsWith("building"))).toHaveLength(2);
      const said = await runCommand(python, ["-c", "import greeting; print(greeting.TEXT)"]);
      expect(said.stdout).toBe("hello\n");
      expect(readdirSync(join(env["VIRTUAL_ENV"] ?? "", "bin")).filter((name) => name.startsWith("pip"))).toEqual([]);
    },
    slowTestMs,
  );

  test(
    "says what pip said when an installation fails, and leaves nothing behind",
    async () => {
      const environmentsDir = join(root, "failing");
      const failing = prepare(
        newFolder(),
        { build: { python_packages: ["no-such-distribution-anywhere==9"] } },
        { environmentsDir },
      );
      await expect(failing).rejects.toThrow(/can't be installed[\s\S]*no-such-distribution-anywhere/);
      expect(readdirSync(environmentsDir)).toEqual([expect.stringMatching(/^3\.\d+-\w+-[0-9a-f]{24}\.lock$/)]);
    },
    slowTestMs,
  );
});

describe("a Python whose venv lacks ensurepip", () => {
  async function withoutEnsurepip(pipToo: boolean): Promise<Interpreter> {
    const real = await defaultInterpreter();
    if (real === null) throw new Error("no python3");
    const path = join(root, pipToo ? "bare-python" : "debian-python");
    const refuseOther = pipToo
      ? 'case "$*" in *"-m pip"*|*"-m virtualenv"*) echo "No module named pip" >&2; exit 1;; esac\n'
      : "";
    writeFileSync(
      path,
      `#!/bin/sh\n${refuseOther}case "$*" in *--without-pip*) ;; *"-m venv"*) echo "ensurepip is not available" >&2; exit 1;; esac\nexec ${real.path} "$@"\n`,
      { mode: 0o755 },
    );
    return { ...real, path };
  }

  test(
    "is filled by the pip of the interpreter",
    async () => {
      const modelDir = await modelWithWheel();
      const requirements = await readRequirements(
        modelDir,
        parse({ build: { python_requirements: "requirements.txt" } }),
      );
      const dir = join(root, "debian-env");
      const interpreter = await withoutEnsurepip(false);
      await buildEnvironment({ dir, interpreter, requirements, uv: null, log: () => {}, timeoutMs: slowTestMs });
      const said = await runCommand(pythonOf(dir), ["-c", "import greeting; print(greeting.TEXT)"]);
      expect(said.stdout).toBe("hello\n");
    },
    slowTestMs,
  );

  test("and that has no pip either says what to install", async () => {
    const interpreter = await withoutEnsurepip(true);
    const requirements = { lines: ["x"], baseDir: root, buildCommands: [], hash: "" };
    const building = buildEnvironment({
      dir: join(root, "none"),
      interpreter,
      requirements,
      uv: null,
      log: () => {},
      timeoutMs: 1000,
    });
    await expect(building).rejects.toThrow(/Install uv, or \(Debian, Ubuntu\) python3\.\d+-venv/);
  });
});

describe("a registry that can't be reached", () => {
  test(
    "is what the error says",
    async () => {
      process.env["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple";
      delete process.env["PIP_NO_INDEX"];
      try {
        await expect(prepare(newFolder(), { build: { python_packages: ["numpy"] } })).rejects.toThrow(
          "No package registry could be reached",
        );
      } finally {
        delete process.env["PIP_INDEX_URL"];
        process.env["PIP_NO_INDEX"] = "1";
      }
    },
    slowTestMs,
  );
});

describe("a disk that is full", () => {
  /** A python3 whose pip finds no room as long as another environment lies in `kept`, and installs nothing else. */
  async function withFullDisk(kept: string): Promise<void> {
    const real = await defaultInterpreter();
    const path = join(root, `full-python-${(folders += 1)}`);
    writeFileSync(
      path,
      `#!/bin/sh
case "$*" in
  *"-m pip --version"*) echo "pip 24.0" ;;
  *"-m venv"*) for dir in "$@"; do :; done; mkdir -p "$dir/bin"; ln -s ${real?.path} "$dir/bin/python" ;;
  *"-m pip"*)
    for note in ${kept}/*/edgeplane.json; do
      if [ -e "$note" ]; then echo "ERROR: [Errno 28] No space left on device"; exit 1; fi
    done ;;
  *) echo ${path}; ${real?.path} "$@" | tail -n +2 ;;
esac
`,
      { mode: 0o755 },
    );
    vi.stubEnv("EDGEPLANE_PYTHON", path);
  }

  const builds = (kept: string): string[] => readdirSync(kept).filter((entry) => /\.[0-9a-f]{8}$/.test(entry));

  test(
    "is cleared of what nobody uses; what is in use stays, and then the reason says what to do",
    async () => {
      const environmentsDir = join(root, "full");
      await withFullDisk(environmentsDir);
      const dir = newFolder();
      const lines: string[] = [];
      const options = { environmentsDir, log: (line: string): void => void lines.push(line) };
      const wants = (version: number) => ({ build: { python_packages: [`something==${version}`] } });
      const first = await prepare(dir, wants(1), options);
      const [inUse] = builds(environmentsDir);
      const refused = prepare(dir, wants(2), options);
      await expect(refused).rejects.toThrow(
        /^The disk is full, so the environment .*: make room there .*--environments-dir/,
      );
      await expect(refused).rejects.toThrow("[Errno 28]");
      expect(builds(environmentsDir)).toEqual([inUse]);
      first.release();
      const second = await prepare(dir, wants(2), { ...options, budgetBytes: 0 });
      expect(lines).toContain(
        "the disk is full; 1 environments that nobody uses are removed, and this one is built again",
      );
      expect(builds(environmentsDir)).toEqual([expect.not.stringContaining(String(inUse))]);
      expect(lines.at(-1)).toMatch(/^the environments in use take \d+ MB, more than the 0 MB meant for them$/);
      second.release();
    },
    slowTestMs,
  );
});
