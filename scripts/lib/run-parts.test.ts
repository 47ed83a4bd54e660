import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import type { Part } from "../ci/parts.ts";
import { failuresTold, report, runPart, runParts } from "./run-parts.ts";
import type { PartResult } from "./run-parts.ts";

const part: Part = { name: "a part", runs: "test", engine: null, needs: [], command: [], timeoutMs: 60_000 };
const ok: PartResult = { name: "well", passed: 2, failed: 0, seconds: 1, note: "", failures: [] };

afterEach(() => vi.restoreAllMocks());

/** What `run` prints. */
async function printed(run: () => unknown): Promise<string> {
  const lines: string[] = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
  await run();
  return lines.join("\n");
}

it("tells at the end once more what failed, so that the last lines of a long run are enough", async () => {
  const failed = { ...ok, name: "ill", failed: 2, failures: ["x.test.ts: a\nwhy\n\nand where", "x.test.ts: b"] };
  const output = await printed(() => report([ok, failed], ["CI   more"]));
  const [ill = "", well = ""] = ["FAIL ill", "ok   well"].map((line) => output.slice(output.indexOf(line)));
  expect(output.indexOf("why")).toBeGreaterThan(output.indexOf("CI   more"));
  expect([well.startsWith("ok   well"), ill.startsWith("FAIL ill")]).toEqual([true, true]);
  expect(failuresTold(`── ill\nx\n${output}\n2 passed, 2 failed\n`)).toEqual([
    "ill\nx.test.ts: a\nwhy\n\nand where",
    "ill\nx.test.ts: b",
  ]);
});

it("keeps what a command said that failed, and nothing of one that didn't", async () => {
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const bad = await runPart({ ...part, command: ["node", "-e", "console.log('the reason'); process.exit(3)"] });
  expect(bad).toMatchObject({ passed: 0, failed: 1, failures: ["the reason"] });
  const good = await runPart({ ...part, command: ["node", "-e", "console.log('all well')"] });
  expect(good).toMatchObject({ passed: 1, failed: 0, failures: [] });
});

it("names the test that failed and what it said", async () => {
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-fails-"));
  try {
    const source = 'it("counts", () => expect([1], "told in full\\nto the end").toEqual([]));\n';
    writeFileSync(join(dir, "on-purpose.test.js"), source);
    const command = ["vitest", "run", `--root=${dir}`, "--globals"];
    const { passed, failed, failures } = await runPart({ ...part, command });
    expect({ passed, failed }).toEqual({ passed: 0, failed: 1 });
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatch(/on-purpose\.test\.js: counts\n.*told in full\nto the end/);
    expect(failures[0]).not.toContain("node_modules");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

it("runs parts side by side, shows each whole, and answers in their order", async () => {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-side-"));
  try {
    // Each of the first two ends only when the other has begun; the third fails.
    const meet = (own: string, other: string) =>
      `const fs = require("node:fs"); fs.writeFileSync("${dir}/${own}", ""); console.log("${own} begins");
       const wait = () => fs.existsSync("${dir}/${other}") ? console.log("${own} ends") : setTimeout(wait, 5); wait();`;
    const scripts = { one: meet("one", "two"), two: meet("two", "one"), three: "console.log('no'); process.exit(1)" };
    const list = Object.entries(scripts).map(([name, script]) => ({ ...part, name, command: ["node", "-e", script] }));
    let shown = "";
    const results = await runParts(list, 2, (text) => (shown += text));
    expect(results.map(({ name, passed, failed }) => [name, passed, failed])).toEqual([
      ["one", 1, 0],
      ["two", 1, 0],
      ["three", 0, 1],
    ]);
    expect(shown).toBe("\n── one\none begins\none ends\n\n── two\ntwo begins\ntwo ends\n\n── three\nno\n");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
