import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type CogYaml, CogYamlSchema } from "./cog-yaml.ts";
import { collectEnvironments } from "./collect.ts";
import { type PreparedEnvironment, prepareEnvironment } from "./index.ts";
import { defaultInterpreter, type Interpreter } from "./interpreters.ts";
import { choosingSettings, wishOf } from "./layer-key.ts";
import type { LayerWish } from "./layer-key.ts";
import type { BuiltHere, Layers } from "./layers.ts";
import { pathIn } from "./local-files.ts";
import { readRequirements } from "./requirements.ts";

const root = mkdtempSync(join(tmpdir(), "edgeplane-environment-layers-"));
const WORDS = "words.txt";
let [hosts, installs] = [0, ""];

/** A Python whose pip puts one file into the environment, in no time. */
beforeAll(async () => {
  const real = await defaultInterpreter();
  const path = join(root, "python3");
  installs = join(root, "installs");
  writeFileSync(
    path,
    `#!/bin/sh
case "$*" in
  *"-m pip --version"*) echo "pip 24.0" ;;
  *"-m venv"*) for dir in "$@"; do :; done; mkdir -p "$dir/bin"; ln -s ${real?.path} "$dir/bin/python" ;;
  *"-m pip"*) echo installed >> ${installs}; echo "built here" > "$(dirname "$(dirname "$4")")/${WORDS}" ;;
  *sys.executable*) echo ${path}; ${real?.path} "$@" | tail -n +2 ;;
  *) exec ${real?.path} "$@" ;;
esac
`,
    { mode: 0o755 },
  );
});
beforeEach(() => {
  vi.stubEnv("EDGEPLANE_PYTHON", join(root, "python3"));
  vi.stubEnv("EDGEPLANE_UV", "");
  rmSync(installs, { force: true });
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Layers in memory: an environment is its one file. */
class Kept implements Layers {
  readonly kept = new Map<string, string>();
  readonly offered: (BuiltHere & { wish: LayerWish })[] = [];
  finds = 0;
  problem: string | null = null;

  async find({ owner, key }: LayerWish) {
    this.finds += 1;
    const words = this.kept.get(`${owner}/${key}`);
    if (words === undefined) return Promise.resolve(null);
    const unpack = async (dir: string): Promise<void> => {
      if (this.problem !== null) throw new Error(this.problem);
      writeFileSync(join(dir, WORDS), words);
      return Promise.resolve();
    };
    return Promise.resolve({ bytes: words.length, unpack });
  }

  readonly keptHere: string[] = [];
  keepHere(why: string): void {
    this.keptHere.push(why);
  }

  offer(wish: LayerWish, built: BuiltHere): void {
    this.offered.push({ ...built, wish });
    this.kept.set(`${wish.owner}/${wish.key}`, "built by another\n");
  }
}

const parse = (build: object): CogYaml => CogYamlSchema.parse({ build });
const newDir = (): string => {
  const dir = join(root, `folder-${(hosts += 1)}`);
  mkdirSync(dir);
  return dir;
};
const installed = (): number => (existsSync(installs) ? readFileSync(installs, "utf8").split("\n").length - 1 : 0);
const lines: string[] = [];
const prepare = async (environmentsDir: string, layers: Layers, owner = "acme"): Promise<PreparedEnvironment> =>
  prepareEnvironment({
    modelDir: root,
    cog: parse({ python_packages: ["torch==9"] }),
    environmentsDir,
    log: (line) => lines.push(line),
    others: { layers, owner, cuda: null, gpus: [] },
  });
const words = ({ env }: PreparedEnvironment): string => readFileSync(join(env["VIRTUAL_ENV"] ?? "", WORDS), "utf8");

describe("an environment", () => {
  test("is built once, and unpacked by every other host; on one host it is there", async () => {
    const layers = new Kept();
    const [first, second] = [newDir(), newDir()];
    const built = await prepare(first, layers);
    expect([words(built), built.isUnpacked, installed()]).toEqual(["built here\n", false, 1]);
    expect(layers.offered).toMatchObject([{ dir: built.env["VIRTUAL_ENV"], wish: { owner: "acme" } }]);
    expect(layers.offered[0]?.buildMs).toBeGreaterThan(0);
    const unpacked = await prepare(second, layers);
    expect([words(unpacked), unpacked.isUnpacked, installed()]).toEqual(["built by another\n", true, 1]);
    const asked = layers.finds;
    expect((await prepare(first, layers)).env).toEqual(built.env);
    expect((await prepare(second, layers)).env).toEqual(unpacked.env);
    expect([layers.finds, installed()]).toEqual([asked, 1]);
  });

  test("that another host built is its owner's alone, and no other's on the same host", async () => {
    const layers = new Kept();
    await prepare(newDir(), layers);
    const shared = newDir();
    expect(words(await prepare(shared, layers))).toBe("built by another\n");
    expect(words(await prepare(shared, layers, "other"))).toBe("built here\n");
    expect(installed()).toBe(2);
  });

  test("is built where it can't be unpacked, and nothing half stays", async () => {
    const layers = new Kept();
    await prepare(newDir(), layers);
    layers.problem = "a chunk is broken";
    const host = newDir();
    lines.length = 0;
    const built = await prepare(host, layers);
    expect([words(built), built.isUnpacked]).toEqual(["built here\n", false]);
    expect(lines).toContain("the stored environment can't be used (a chunk is broken)");
    expect(readdirSync(host).filter((name) => /\.[0-9a-f]{8}$/.test(name))).toHaveLength(1);
    expect(layers.offered).toHaveLength(2);
  });

  test("can be kept from being taken away while it is stored", async () => {
    const layers = new Kept();
    const built = await prepare(newDir(), layers);
    const release = layers.offered[0]?.hold();
    built.release();
    const host = join(built.env["VIRTUAL_ENV"] ?? "", "..");
    expect((await collectEnvironments(host, 0)).removed).toBe(0);
    release?.();
    expect((await collectEnvironments(host, 0)).removed).toBe(1);
  });
});

describe("what an environment is built from", () => {
  let real: Interpreter | null | undefined;
  /** Its name; or why it has none. */
  const keyOf = async (build: object, cuda: string | null = null): Promise<string> => {
    real ??= await defaultInterpreter();
    if (real === null) throw new Error("no Python");
    const interpreter = real;
    const cog = parse(build);
    const requirements = await readRequirements(root, cog);
    const wish = await wishOf("acme", requirements, { modelDir: root, interpreter, build: cog.build, cuda, gpus: [] });
    return "why" in wish ? wish.why : wish.key;
  };
  const build = { python_packages: ["torch==9"] };

  test("is one name: the packages, the CUDA, the system's packages, and settings that choose others", async () => {
    const key = await keyOf(build);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await keyOf({ ...build, python_packages: ["torch==9", "x"] })).not.toBe(key);
    expect(await keyOf({ ...build, system_packages: ["b", "a"] })).toBe(
      await keyOf({ ...build, system_packages: ["a", "b"] }),
    );
    expect(await keyOf({ ...build, system_packages: ["a"] })).not.toBe(key);
    expect(await keyOf(build, "12.4")).not.toBe(key);
    expect(await keyOf(build, "12.8")).toBe(await keyOf(build, "12.4"));
    expect(await keyOf(build, "10.1")).not.toBe(await keyOf(build, "10.2"));
    vi.stubEnv("PIP_EXTRA_INDEX_URL", "https://packages.test/simple");
    expect(await keyOf(build)).not.toBe(key);
    vi.unstubAllEnvs();
    const file = join(root, "pip.conf");
    writeFileSync(file, "[global]\nindex-url = https://me:1@packages.test\n");
    vi.stubEnv("PIP_CONFIG_FILE", file);
    const byFile = await keyOf(build);
    expect(byFile).not.toBe(key);
    writeFileSync(file, "[global]\nindex-url = https://you:2@packages.test\n");
    expect(await keyOf(build)).toBe(byFile);
  });

  test.each(["PIP_CONSTRAINT", "UV_OVERRIDE"])(
    "is another name where the lists that %s names say another",
    async (name) => {
      const [one, other] = [join(root, "one.txt"), join(root, "other.txt")];
      vi.stubEnv(name, `${one} ${other}`);
      for (const file of [one, other]) writeFileSync(file, "numpy==1\n");
      const key = await keyOf(build);
      expect(await keyOf(build)).toBe(key);
      writeFileSync(other, "numpy==2\n");
      expect(await keyOf(build)).not.toBe(key);
    },
  );

  /** A folder of packages on this host's disk, with a list of constraints in it. */
  const packages = (): { folder: string; wheel: string; list: string } => {
    const folder = newDir();
    const [wheel, list] = [join(folder, "torch-9-py3-none-any.whl"), join(folder, "constraints.txt")];
    writeFileSync(wheel, "one build");
    writeFileSync(list, "numpy==1\n");
    return { folder, wheel, list };
  };
  const configured = (text: string): void => {
    const file = join(newDir(), "pip.conf");
    writeFileSync(file, text);
    vi.stubEnv("PIP_CONFIG_FILE", file);
  };

  test.each<[string, (at: ReturnType<typeof packages>) => object | void]>([
    ["PIP_FIND_LINKS", ({ folder }) => void vi.stubEnv("PIP_FIND_LINKS", folder)],
    ["PIP_FIND_LINKS as an address", ({ folder }) => void vi.stubEnv("PIP_FIND_LINKS", `file://${folder}`)],
    ["UV_FIND_LINKS, of several", ({ folder }) => void vi.stubEnv("UV_FIND_LINKS", `https://a.test/x,${folder}`)],
    ["PIP_INDEX_URL", ({ folder }) => void vi.stubEnv("PIP_INDEX_URL", `file://${folder}`)],
    ["UV_INDEX, behind its name", ({ folder }) => void vi.stubEnv("UV_INDEX", `mine=file://${folder}`)],
    [
      "find-links of pip.conf",
      ({ folder }) => configured(`[global]\nfind-links =\n  https://a:b@c.test\n  ${folder}\n`),
    ],
    ["find_links of pip.conf", ({ folder }) => configured(`[install]\nfind_links: ${folder}\n`)],
    ["a list in the requirements", ({ folder }) => ({ python_packages: [`--find-links ${folder}`, "torch==9"] })],
    [
      "find-links of uv.toml",
      ({ folder }) => {
        const file = join(newDir(), "uv.toml");
        writeFileSync(
          file,
          `index = [{ name = "x", url = "https://x.test" }]\nfind-links = [\n  "${folder}", # here\n]\n`,
        );
        vi.stubEnv("UV_CONFIG_FILE", file);
      },
    ],
  ])("is another name where a package that %s leads to is another", async (_what, set) => {
    const at = packages();
    const own = set(at) ?? build;
    const key = await keyOf(own);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await keyOf(own)).toBe(key);
    writeFileSync(at.wheel, "another build");
    const other = await keyOf(own);
    expect(other).not.toBe(key);
    writeFileSync(join(at.folder, "torch-10-py3-none-any.whl"), "a later one");
    expect(await keyOf(own)).not.toBe(other);
  });

  test.each<[string, (list: string) => object | void]>([
    ["constraint of pip.conf", (list) => configured(`[install]\nconstraint = ${list}\n`)],
    ["requirement of pip.conf", (list) => configured(`[install]\nrequirement = ${list} # always\n`)],
    ["PIP_REQUIREMENT", (list) => void vi.stubEnv("PIP_REQUIREMENT", list)],
    ["a line of the requirements", (list) => ({ python_packages: [`-c ${list}`, "torch==9"] })],
  ])("is another name where the list that %s leads to says another, or one that it names", async (_what, set) => {
    const { list, folder } = packages();
    const nested = join(folder, "nested.txt");
    writeFileSync(list, "-c nested.txt\n");
    writeFileSync(nested, "numpy==1\n");
    const own = set(list) ?? build;
    const key = await keyOf(own);
    writeFileSync(nested, "numpy==2\n");
    const other = await keyOf(own);
    expect(other).not.toBe(key);
    writeFileSync(list, "-r nested.txt\nscipy==1\n");
    expect(await keyOf(own)).not.toBe(other);
  });

  test("is no name where what its packages are chosen from is too much to compare", async () => {
    const { folder } = packages();
    for (let at = 0; at <= 5000; at += 1) writeFileSync(join(folder, `${at}.whl`), "");
    vi.stubEnv("PIP_FIND_LINKS", folder);
    expect(await keyOf(build)).toBe(`${folder} has more than 5000 files, too many to compare with other hosts'`);
  });

  test.each([
    ["whose commands may write anywhere", { python_packages: ["torch==9"], run: ["true"] }, "build.run may write"],
    ["that lies in the model's folder", { python_packages: ["-e ./package"] }, "-e ./package is installed as a link"],
    ["of nothing but the interpreter", { python_packages: [] }, "it has no packages"],
  ])("is no name for one %s", async (_what, own, why) => {
    expect(await keyOf(own)).toContain(why);
  });

  test.each(["-c /proc/kmsg", "--find-links /proc", "--find-links=file:///etc", "-f ./away"])(
    "is no name where its requirements lead out of the model's folder (%s), which is not read for them",
    async (line) => {
      rmSync(join(root, "away"), { force: true });
      symlinkSync("/proc", join(root, "away"));
      expect(await keyOf({ python_packages: [line, "torch==9"] })).toContain("lies outside of the model's folder");
    },
  );

  test.each<[string, string, string]>([
    ["pyproject.toml", '[tool.uv.pip]\nfind-links = ["/proc"]\n', "lies outside of the model's folder"],
    ["uv.toml", 'index-url = "file:///etc"\n', "lies outside of the model's folder"],
    ["uv.toml", 'find-links = ["./away"]\n', "lies outside of the model's folder"],
    ["pyproject.toml", `[tool.uv]\n${"a".repeat(1_000_000)}\n`, "has a line of over 4096 characters"],
    ["uv.toml", "a\n".repeat(600_000), "has more than 1048576 bytes"],
  ])("is no name where the model's own %s leads out of its folder, or takes long to read", async (name, text, why) => {
    rmSync(join(root, "away"), { force: true });
    symlinkSync("/proc", join(root, "away"));
    const file = join(root, name);
    writeFileSync(file, text);
    onTestFinished(() => rmSync(file));
    expect(await keyOf(build)).toContain(why);
  });

  test("is no name where a file of settings in the model's folder is one of the host's", async () => {
    const file = join(root, "uv.toml");
    symlinkSync("/proc/kmsg", file);
    onTestFinished(() => rmSync(file));
    expect(await keyOf(build)).toBe(`${file} lies outside of the model's folder`);
  });

  test("is another name where what the model's own settings lead to in its folder is another", async () => {
    const file = join(root, "uv.toml");
    const list = join(root, "own.txt");
    writeFileSync(file, 'constraint-dependencies = []\nconstraints = ["own.txt"]\n');
    writeFileSync(list, "numpy==1\n");
    onTestFinished(() => [file, list].forEach((path) => rmSync(path)));
    const key = await keyOf(build);
    writeFileSync(list, "numpy==2\n");
    const other = await keyOf(build);
    expect(other).toMatch(/^[0-9a-f]{64}$/);
    expect(other).not.toBe(key);
  });

  test.each(["[", " "])("is looked for in a line of many %j without holding up the pool", async (char) => {
    const startedAt = process.cpuUsage();
    expect(pathIn(`-c ./x${char.repeat(200_000)}y`)).not.toBeNull();
    await readRequirements(root, parse({ python_packages: [`cog${char.repeat(200_000)}y`] }));
    // By the square of its length, it took half a minute and more.
    expect(process.cpuUsage(startedAt).user).toBeLessThan(10_000_000);
  });

  test("that has no name says so to the operator and in the model's log, and is built", async () => {
    const layers = new Kept();
    lines.length = 0;
    const cog = parse({ run: ["true"] });
    const others = { layers, owner: "acme", cuda: null, gpus: [] };
    const options = { modelDir: root, cog, allowBuildRun: true, environmentsDir: newDir(), others };
    const built = await prepareEnvironment({ ...options, log: (line) => lines.push(line) });
    expect(built.isUnpacked).toBe(false);
    expect(layers.keptHere).toEqual(["build.run may write anywhere on the host"]);
    expect(lines).toContain("each host builds this environment by itself: build.run may write anywhere on the host");
  });

  test.each(["PIP_NO_INDEX", "UV_NO_BUILD", "UV_SOMETHING_OF_A_LATER_RELEASE"])(
    "is another name where %s is set, as every setting counts that isn't known to choose nothing",
    async (name) => {
      const key = await keyOf(build);
      vi.stubEnv(name, "1");
      expect(await keyOf(build)).not.toBe(key);
    },
  );

  test("is the same whoever asks a registry, and whatever says nothing of packages", () => {
    const env = { UV_INDEX: "https://me:secret@packages.test/x", PIP_NO_INPUT: "1", PIP_INDEX_URL: "", PATH: "x" };
    expect(choosingSettings(env)).toEqual([["UV_INDEX", "https://packages.test/x"]]);
    expect(choosingSettings({ UV_TORCH_BACKEND: "auto", PIP_INDEX_URL: "u" })).toEqual([
      ["PIP_INDEX_URL", "u"],
      ["UV_TORCH_BACKEND", "auto"],
    ]);
  });
});
