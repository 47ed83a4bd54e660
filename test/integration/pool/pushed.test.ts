/** Models that were pushed come to a pool, are fetched, set up and served while it runs, and leave it again. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";
import type { EdgeMessage } from "../../../src/contract/channel.ts";
import { COMMIT, startHuggingFace } from "../../hugging-face.ts";
import { pack, PushedFiles } from "../../pushed-files.ts";
import { canMountDisks, smallDisk } from "../../small-disk.ts";
import { hasBegun, startFixture } from "./fixture.ts";
import type { Fixture } from "./fixture.ts";
import { models } from "./models.ts";
import { modelAt, startPoolInside } from "./pool-inside.ts";

const NUDGE: EdgeMessage = { type: "models" };

/** Says its word, and what is in its weights; told to, it writes into its folder. */
const CODE = `
import os

from cog import BaseRunner, Input

HERE = os.path.dirname(os.path.abspath(__file__))


class Runner(BaseRunner):
    def setup(self) -> None:
        self.weights = len(open(os.path.join(HERE, "weights.bin"), "rb").read())

    def run(self, do: str = Input(default="")) -> str:
        if do == "write":
            for name in ["run.py", "new.txt"]:
                with open(os.path.join(HERE, name), "a") as file:
                    file.write("# more")
        if do == "spoil":
            os.chmod(os.path.join(HERE, "weights.bin"), 0o644)
            with open(os.path.join(HERE, "weights.bin"), "r+b") as file:
                file.write(b"spoilt")
        if do.startswith("until "):
            print("begun")
            import time

            while not os.path.exists(do[6:]):
                time.sleep(0.02)
        return f"WORD {self.weights}"
`;
const weights = randomBytes(3 * 1024 * 1024);
const files = (word: string, more: Record<string, string | Buffer> = {}) => ({
  "cog.yaml": 'run: "run.py:Runner"\n',
  "run.py": CODE.replace("WORD", word),
  "weights.bin": weights,
  "deep/er/empty": "",
  ...more,
});
const weightsId = (): string => [...pack({ weights }).chunks.keys()][0] ?? "";

/** A pool without models of its own, and the folder that the pools of its host share. */
async function start(pushed: PushedFiles, names: (keyof typeof models)[] = [], flags: string[] = [], env = {}) {
  return { fixture: await startFixture(names, flags, { pushed, env }) };
}
const sharedOf = ({ home }: Fixture): string => join(home.root, "shared");
const terminalOf = async (fixture: Fixture, manifest: Parameters<Fixture["edge"]["submit"]>[0], word: string) => {
  const tracked = fixture.edge.submit(manifest, { do: word });
  await fixture.edge.until(() => tracked.terminal !== null);
  return tracked.terminal;
};

test("a model that is pushed is fetched, set up, tells its schema and runs; a second version beside it; both leave", async () => {
  const pushed = new PushedFiles();
  const { fixture } = await start(pushed, ["single"]);
  await using _ = fixture;
  const { edge } = fixture;
  expect(edge.hellos[0]?.hears).toContain("models");
  const first = await pushed.push(files("one"));
  edge.tell(NUDGE);
  const known = () => edge.hellos.at(-1)?.models.find(({ version }) => version === first.version);
  await edge.until(() => known()?.schema !== undefined && known()?.schema !== null);
  expect(await terminalOf(fixture, first, "x")).toMatchObject({ output: `one ${weights.length}` });

  // A second push of the same weights fetches the code only; what one writes harms neither the other nor its version.
  expect(await terminalOf(fixture, first, "write")).toMatchObject({ type: "succeeded" });
  const second = await pushed.push(files("two"));
  edge.tell(NUDGE);
  expect(await terminalOf(fixture, second, "x")).toMatchObject({ output: `two ${weights.length}` });
  expect(pushed.asked.filter((asked) => asked.startsWith(weightsId()))).toHaveLength(1);
  expect(await terminalOf(fixture, first, "x")).toMatchObject({ output: `one ${weights.length}` });
  expect(edge.hellos.at(-1)?.models.map(({ version }) => version)).toContain(first.version);

  const gate = join(fixture.home.root, "gate");
  const running = edge.submit(first, { do: `until ${gate}` });
  await edge.until(() => hasBegun(running));
  pushed.models = pushed.models.filter(({ manifest }) => manifest.version !== first.version);
  edge.tell(NUDGE);
  await edge.until(() => edge.hellos.at(-1)?.models.some(({ version }) => version === first.version) === false);
  writeFileSync(gate, "");
  await edge.until(() => running.terminal !== null);
  expect(running.terminal).toMatchObject({ output: `one ${weights.length}` });
  expect(await terminalOf(fixture, second, "x")).toMatchObject({ output: `two ${weights.length}` });
  const [pool = ""] = readdirSync(join(sharedOf(fixture), "folders")).filter((name) => !name.endsWith(".lock"));
  await edge.until(() => readdirSync(join(sharedOf(fixture), "folders", pool)).length === 1);
  // Its own folder's model is as it was.
  expect(await terminalOf(fixture, await fixture.ref("single"), "x")).toMatchObject({ output: "x" });
  expect(edge.violations).toEqual([]);
});

test("what was pushed is there after a restart, without being fetched again; what a model spoilt is", async () => {
  const pushed = new PushedFiles();
  const manifest = await pushed.push(files("one"));
  const { fixture } = await start(pushed);
  await using _ = fixture;
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ type: "succeeded" });
  const before = pushed.asked.length;
  await fixture.pool.kill("SIGKILL");
  fixture.restart();
  expect(await terminalOf(fixture, manifest, "spoil")).toMatchObject({ type: "succeeded" });
  expect(pushed.asked).toHaveLength(before);
  await fixture.pool.kill("SIGTERM");
  fixture.restart();
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ output: `one ${weights.length}` });
  expect(pushed.asked.slice(before)).toEqual([`${weightsId()} 0`]);
});

test("two pools of a host share what one fetched; one that is killed as it fetches leaves it to the other", async () => {
  const pushed = new PushedFiles();
  const { fixture } = await start(pushed);
  await using _ = fixture;
  const { edge } = fixture;
  const { pool } = await fixture.second();
  let open = (): void => {};
  pushed.gate = new Promise((resolve) => (open = resolve));
  const manifest = await pushed.push(files("one"));
  edge.tell(NUDGE);
  await edge.until(() => pushed.asked.length > 0);
  await fixture.pool.kill("SIGKILL");
  open();
  await edge.until(() => edge.hellos.at(-1)?.models[0]?.schema !== undefined);
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ output: `one ${weights.length}` });
  expect(pushed.asked.filter((asked) => asked.startsWith(weightsId())).length).toBeLessThan(3);
  await pool.kill("SIGTERM");
});

test("a cold version costs its code alone until a prediction comes for it", async () => {
  const pushed = new PushedFiles();
  const manifest = await pushed.push(files("cold"), { isLive: false });
  const { fixture } = await start(pushed);
  await using _ = fixture;
  await fixture.edge.until(() => fixture.edge.hellos.at(-1)?.models.length === 1);
  expect(pushed.asked.some((asked) => asked.startsWith(weightsId()))).toBe(false);
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ output: `cold ${weights.length}` });
});

test.each([
  ["fetch", {}, /can't be had/, true],
  ["fetch", { "cog.yaml": "run: [" }, /cog\.yaml/, false],
  [
    "build",
    { "cog.yaml": 'run: "run.py:Runner"\nbuild:\n  python_packages: ["no such thing!"]\n' },
    /no such thing/,
    false,
  ],
  ["setup", { "run.py": "raise RuntimeError('no weights here')" }, /no weights here/, false],
] as const)(
  "what goes wrong in %s is told with its reason, and harms no other model (%#)",
  async (stage, more, words, isGone) => {
    const pushed = new PushedFiles();
    const good = await pushed.push(files("good"), { name: "good" });
    const bad = await pushed.push(files("bad", more), { name: "bad" });
    if (isGone) pushed.chunks.delete([...pack({ code: CODE.replace("WORD", "bad") }).chunks.keys()][0] ?? "");
    const { fixture } = await start(pushed);
    await using _ = fixture;
    await fixture.edge.until(() => pushed.problems.length > 0);
    expect(pushed.problems[0]).toMatchObject({ version: bad.version, stage });
    expect(`${pushed.problems[0]?.problem}\n${pushed.problems[0]?.log}`).toMatch(words);
    expect(await terminalOf(fixture, good, "x")).toMatchObject({ output: `good ${weights.length}` });
  },
);

test("an edge that knows of no pushed models, or can't say, leaves the pool as it was", async () => {
  const pushed = new PushedFiles();
  const manifest = await pushed.push(files("one"));
  const { fixture } = await start(pushed, ["single"]);
  await using _ = fixture;
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ type: "succeeded" });
  for (const status of [404, 503]) {
    pushed.listStatus = status;
    const { lists } = pushed;
    fixture.edge.tell(NUDGE);
    await fixture.edge.until(() => pushed.lists > lists);
  }
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ type: "succeeded" });
  fixture.edge.behaviour.pushed = null;
  expect(await terminalOf(fixture, await fixture.ref("single"), "x")).toMatchObject({ output: "x" });
});

test.skipIf(!canMountDisks).each([
  ["weights", {}],
  ["its copy of the code", { "large.txt": randomBytes(700 * 1024) }],
])(
  "a disk that is full for %s is no fault of the model: it is told to nobody, and other models run",
  async (_what, more) => {
    using disk = smallDisk(6);
    disk.fill(1024 * 1024);
    const pushed = new PushedFiles();
    await pushed.push(files("one", more));
    const { fixture } = await start(pushed, ["single"]);
    await using _ = fixture;
    const state = join(fixture.home.root, "state-full");
    const pool = fixture.elsewhere(["--bundles-dir", disk.path, "--min-free-disk-bytes", "0"], state);
    await fixture.edge.until(() => pool.output().includes("can't be fetched for now"));
    expect(pushed.problems).toEqual([]);
    expect(existsSync(join(disk.path, "contents"))).toBe(true);
    expect(readFileSync(join(state, "name"), "utf8")).not.toBe("");
  },
);

test("a version that is known somewhere is not loaded before a prediction comes for it", async () => {
  const pushed = new PushedFiles();
  const known = await pushed.push(files("known"), { name: "known", isPending: false });
  const other = await pushed.push(files("other"), { name: "other" });
  const { fixture } = await start(pushed);
  await using _ = fixture;
  const { edge } = fixture;
  const schemaOf = (version: string) => edge.hellos.at(-1)?.models.find((model) => model.version === version)?.schema;
  await edge.until(() => typeof schemaOf(other.version) === "object" && schemaOf(other.version) !== null);
  expect(schemaOf(known.version)).toBeNull();
  expect(await terminalOf(fixture, known, "x")).toMatchObject({ output: `known ${weights.length}` });
});

test("one that failed is tried again when it was pushed again, and not at each nudge", async () => {
  const pushed = new PushedFiles();
  const manifest = await pushed.push(files("one"));
  const chunk = [...pack({ code: CODE.replace("WORD", "one") }).chunks.keys()][0] ?? "";
  const bytes = pushed.chunks.get(chunk) ?? Buffer.alloc(0);
  pushed.chunks.delete(chunk);
  const { fixture } = await start(pushed);
  await using _ = fixture;
  const { edge } = fixture;
  await edge.until(() => pushed.problems.length === 1);
  pushed.chunks.set(chunk, bytes);
  // The edge nudges for another model.
  const other = await pushed.push(files("other"), { name: "other" });
  pushed.asked.length = 0;
  edge.tell(NUDGE);
  expect(await terminalOf(fixture, other, "x")).toMatchObject({ type: "succeeded" });
  expect(pushed.asked.filter((asked) => asked.startsWith(chunk))).toEqual([]);
  pushed.models = pushed.models.map((one) => ({ ...one, pushedAt: one.pushedAt + 1000 }));
  edge.tell(NUDGE);
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ output: `one ${weights.length}` });
});

test("one that failed is tried again when the edge says so, within moments, and lives once it can be set up", async () => {
  const pushed = new PushedFiles();
  pushed.againInMs = 100;
  const absent = await pushed.push(files("absent"), { name: "absent" });
  const broken = await pushed.push(files("broken", { "run.py": "raise RuntimeError('not here')" }), { name: "broken" });
  const chunk = [...pack({ code: CODE.replace("WORD", "absent") }).chunks.keys()][0] ?? "";
  const bytes = pushed.chunks.get(chunk) ?? Buffer.alloc(0);
  pushed.chunks.delete(chunk);
  const { fixture } = await start(pushed);
  await using _ = fixture;
  const triesOf = ({ version }: { version: string }) =>
    pushed.problems.flatMap((one) => (one.version === version ? (one.tries ?? []) : []));
  await fixture.edge.until(() => triesOf(absent).length > 1 && triesOf(broken).length > 1);
  expect([triesOf(absent).slice(0, 2), triesOf(broken).slice(0, 2)]).toEqual([
    [1, 2],
    [1, 2],
  ]);
  pushed.chunks.set(chunk, bytes);
  expect(await terminalOf(fixture, absent, "x")).toMatchObject({ output: `absent ${weights.length}` });
});

test("weights that are named by reference are fetched with the model's token before it is set up, and shared", async () => {
  await using hub = await startHuggingFace();
  hub.files.set("org/repo/model.bin", { bytes: weights, isLfs: true, isGated: true });
  const pushed = new PushedFiles();
  const named = `edgeplane:\n  secrets: [HF_TOKEN]\n  weights:\n    - {path: weights.bin, from: "hf://org/repo/model.bin@${COMMIT}"}\n`;
  const { "weights.bin": _weights, ...code } = files("named");
  const manifest = await pushed.push({ ...code, "cog.yaml": `run: "run.py:Runner"\n${named}` });
  const { fixture } = await start(pushed, [], ["--allow-loopback-inputs"], { HF_ENDPOINT: hub.url });
  await using _ = fixture;
  fixture.edge.behaviour.secrets = { HF_TOKEN: "hf_bad" };
  await fixture.edge.until(() => pushed.problems.length > 0);
  expect(pushed.problems[0]).toMatchObject({ stage: "fetch" });
  expect(pushed.problems[0]?.problem).toMatch(/HF_TOKEN/);
  fixture.edge.behaviour.secrets = { HF_TOKEN: "hf_good" };
  pushed.models = pushed.models.map((one) => ({ ...one, pushedAt: one.pushedAt + 1000 }));
  fixture.edge.tell(NUDGE);
  expect(await terminalOf(fixture, manifest, "x")).toMatchObject({ output: `named ${weights.length}` });
});

test("a model whose secrets the edge does not tell for now is not broken: it rests on this host", async () => {
  const pushed = new PushedFiles();
  await pushed.push({
    ...files("secretive"),
    "cog.yaml": 'run: "run.py:Runner"\nedgeplane:\n  secrets: [HF_TOKEN]\n',
  });
  const { fixture } = await start(pushed);
  await using _ = fixture;
  fixture.edge.behaviour.secrets = null;
  const status = async () => {
    const response = await fetch(`http://127.0.0.1:${await fixture.pool.port()}/status`);
    return z.object({ models: z.array(z.unknown()) }).parse(await response.json()).models;
  };
  const why = expect.stringContaining("the edge did not tell them") as unknown;
  await expect.poll(status).toMatchObject([{ problem: null, pausedBy: why }]);
  expect(pushed.problems).toEqual([]);
});

test("weights that come for long hold up no other model, neither one that comes nor one that goes", async () => {
  const pushed = new PushedFiles();
  const slow = await pushed.push(files("slow"), { name: "slow" });
  const gone = await pushed.push(files("gone", { "weights.bin": "few" }), { name: "gone" });
  let open = (): void => {};
  pushed.gates.set(weightsId(), new Promise((resolve) => (open = resolve)));
  const { fixture } = await start(pushed, [], ["--trusted-owners", "local,else"]);
  await using _ = fixture;
  const { edge } = fixture;
  await edge.until(() => pushed.asked.some((asked) => asked.startsWith(weightsId())));
  const other = await pushed.push(files("other", { "weights.bin": "more" }), { name: "other" });
  pushed.models = pushed.models.filter(({ manifest }) => manifest.version !== gone.version);
  edge.tell(NUDGE);
  expect(await terminalOf(fixture, other, "x")).toMatchObject({ output: "other 4" });
  // Nobody asks for this one: it is set up to tell its schema.
  const foreign = await pushed.push(files("foreign", { "weights.bin": "few" }), { owner: "else", name: "foreign" });
  edge.tell(NUDGE);
  const schemaOf = (version: string) => edge.hellos.at(-1)?.models.find((model) => model.version === version)?.schema;
  await edge.until(() => (schemaOf(foreign.version) ?? null) !== null);
  const offered = (): string[] => edge.hellos.at(-1)?.models.map(({ version }) => version) ?? [];
  await edge.until(() => !offered().includes(gone.version));
  open();
  expect(await terminalOf(fixture, slow, "x")).toMatchObject({ output: `slow ${weights.length}` });
});

test("a pool that ends while the files of a model come says nothing against it", async () => {
  const pushed = new PushedFiles();
  const manifest = await pushed.push(files("one"));
  pushed.gates.set(weightsId(), new Promise(() => {}));
  await using inside = await startPoolInside({ "one/single": models.single });
  const { edge, pool } = inside;
  const single = modelAt(inside, "one/single");
  pool.models.add(single);
  const gate = join(single.dir, "gate");
  const running = edge.submit(single.manifest, { do: `until ${gate}` });
  await edge.until(() => hasBegun(running));
  edge.behaviour.pushed = pushed;
  edge.tell(NUDGE);
  await edge.until(() => pool.models.find(manifest) !== undefined);
  edge.submit(manifest, { do: "x" });
  const state = () => pool.models.find(manifest)?.instances.all[0]?.state;
  await edge.until(() => state() === "starting");
  const drained = pool.drain();
  await edge.until(() => state() !== "starting");
  writeFileSync(gate, "");
  await drained;
  expect(running.terminal).toMatchObject({ type: "succeeded" });
  expect(pushed.problems).toEqual([]);
});
