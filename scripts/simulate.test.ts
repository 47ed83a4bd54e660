/** `npm run simulate` as it is typed: what it prints and writes, and what it says to wrong settings. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { seededRandom } from "../src/scaling/simulation/random.ts";

const dir = mkdtempSync(join(tmpdir(), "edgeplane-simulate-"));
afterAll(() => rmSync(dir, { recursive: true }));

const trace = join(dir, "arrivals.csv");
const random = seededRandom(1);
const rows = Array.from({ length: 300 }, () => random() * 600).toSorted((a, b) => a - b);
writeFileSync(trace, `at_s,model,work_s\n${rows.map((atS) => `${atS.toFixed(3)},m,2\n`).join("")}`);

function simulate(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ["scripts/simulate.ts", ...args], { encoding: "utf8" });
}

it("prints the table, writes the report, and says the same again", () => {
  const run = (out: string): string => {
    const args = [
      "--trace",
      trace,
      "--scenario",
      "boot 20 s, 1 slot",
      "--rule",
      "fixed fleet",
      "--out",
      join(dir, out),
    ];
    const { status, stdout } = simulate(...args);
    expect(status).toBe(0);
    return stdout.replace(/^Written: .*$/m, "");
  };
  const first = run("a");
  expect(first).toContain("arrivals, m: boot 20 s, 1 slot");
  expect(first).toContain("| missed | how many;");
  expect(readFileSync(join(dir, "a", "report.html"), "utf8")).toContain("<svg");
  expect(readFileSync(join(dir, "a", "report.json"), "utf8")).toContain('"rule": "Edgeplane"');
  expect(run("b")).toBe(first);
});

it.each([
  [[], "--trace: name a file"],
  [["--trace", "/none.csv"], "/none.csv"],
  [["--trace", trace, "--scenario", "x"], 'there is no scenario "x": "boot 20 s, 1 slot"'],
  [["--trace", trace, "--rule", "x"], "RunPod"],
  [["--trace", trace, "--nonsense"], "--nonsense"],
])("says what is wrong with %j", (args, problem) => {
  const { status, stderr } = simulate(...args);
  expect(status).toBe(2);
  expect(stderr).toContain(problem);
});

it("has help", () => {
  const { status, stdout } = simulate("--help");
  expect(status).toBe(0);
  expect(stdout).toContain("--scenarios FILE");
});
