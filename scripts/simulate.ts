/**
 * `npm run simulate`: runs the scaler's own decision over traces of arrivals, beside other systems' rules; `npm run
 * simulate -- --help` lists its settings.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";
import type { CaseTask } from "./lib/simulate/case-worker.ts";
import { compare } from "./lib/simulate/compare.ts";
import { missedProfile } from "./lib/simulate/missed-profile.ts";
import { page } from "./lib/simulate/report-html.ts";
import { nameOf, summary, table } from "./lib/simulate/report-text.ts";
import { runCases } from "./lib/simulate/run-cases.ts";
import { DEFAULT_SCENARIOS, readScenarios } from "./lib/simulate/scenarios.ts";
import { ruleNames } from "./lib/simulate/candidates.ts";
import { syntheticTraces } from "./lib/simulate/synthetic.ts";
import { readTrace } from "./lib/simulate/trace.ts";

const HELP = `Runs Edgeplane's scaling decision over traces of arrivals, beside other systems' rules and a lower bound.

  npm run simulate -- --trace FILE [--trace FILE …] [--synthetic]

  --trace FILE      arrivals, as CSV: at_s,model,work_s, sorted by at_s; each model is a case of its own
                    or synthetic:NAME, made from a seed: ${syntheticTraces.map((name) => name.split(":")[1]).join(" · ")}
  --synthetic       all of the synthetic traces, too
  --scenarios FILE  machines that can be rented, as JSON (default: scripts/lib/simulate/scenarios.json)
  --scenario NAME   only this one of them (may be repeated; default: all)
  --rule NAME       only this rule beside ours (may be repeated; default: all): ${ruleNames.join(" · ")}
  --out DIR         where report.html, report.md and report.json go (default: simulation)

Prints progress, then the table. The same traces, scenarios and seeds give the same result.
Exit codes: 0 done, 2 a setting or a file is wrong.`;

const OptionsSchema = z.object({
  trace: z.array(z.string()),
  synthetic: z.boolean().default(false),
  scenarios: z.string().default(DEFAULT_SCENARIOS),
  scenario: z.array(z.string()).default([]),
  rule: z.array(z.enum(ruleNames)).default([]),
  out: z.string().default("simulation"),
});

type Options = Omit<z.output<typeof OptionsSchema>, "trace" | "synthetic"> & { traces: string[] };

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  try {
    await run(readOptions(args));
    return 0;
  } catch (error) {
    console.error(`simulate: ${error instanceof Error ? error.message : String(error)} (--help tells more)`);
    return 2;
  }
}

function readOptions(args: string[]): Options {
  const text = { type: "string" } as const;
  const list = { type: "string", multiple: true } as const;
  const { values } = parseArgs({
    args,
    options: { trace: list, synthetic: { type: "boolean" }, scenarios: text, scenario: list, rule: list, out: text },
  });
  const parsed = OptionsSchema.safeParse({ trace: [], ...values });
  if (!parsed.success) throw new Error(z.prettifyError(parsed.error));
  const { trace, synthetic, ...rest } = parsed.data;
  const traces = [...trace, ...(synthetic ? syntheticTraces : [])];
  if (traces.length === 0) throw new Error("--trace: name a file, or give --synthetic");
  return { ...rest, traces };
}

async function run({ traces, scenarios: file, scenario, rule, out }: Options): Promise<void> {
  const scenarios = readScenarios(file);
  const unknown = scenario.find((name) => !scenarios.some((one) => one.name === name));
  if (unknown !== undefined)
    throw new Error(`there is no scenario "${unknown}": ${scenarios.map(({ name }) => `"${name}"`).join(", ")}`);
  const tasks = traces.flatMap((path) =>
    tasksOf(
      path,
      scenarios.map(({ name }) => scenario.length === 0 || scenario.includes(name)),
    ),
  );
  const results = await runCases(tasks, {
    scenariosFile: file,
    rules: rule,
    onDone: (result, left) => console.error(`${nameOf(result)}: done, ${left} left`),
  });
  const cases = results.map((result) => ({ result, comparison: compare(result) }));
  if (!existsSync(out)) mkdirSync(out, { recursive: true });
  const text = [table(cases), summary(cases), missedProfile(cases)].filter((part) => part !== "").join("\n\n") + "\n";
  writeFileSync(join(out, "report.md"), text);
  writeFileSync(join(out, "report.html"), page(cases));
  writeFileSync(join(out, "report.json"), JSON.stringify(cases, null, 1));
  console.log(`${text}\nWritten: ${join(out, "report.html")}`);
}

function tasksOf(file: string, isChosen: readonly boolean[]): CaseTask[] {
  const { models } = readTrace(file);
  return models.flatMap(({ atS }, model) =>
    isChosen.flatMap((chosen, index) => (chosen ? [{ file, model, scenario: index, requests: atS.length }] : [])),
  );
}
