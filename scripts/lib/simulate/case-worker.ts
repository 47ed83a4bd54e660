/** A thread that runs cases, one after the other. */
import { parentPort, workerData } from "node:worker_threads";
import * as z from "zod";
import { runCase } from "./case.ts";
import type { CaseResult } from "./case.ts";
import { readScenarios } from "./scenarios.ts";
import { readTrace } from "./trace.ts";

const DataSchema = z.object({ scenariosFile: z.string(), rules: z.array(z.string()) });
/** A case by its trace's file, the model's index in it, and the scenario's index; `requests` says how long it takes. */
const TaskSchema = z.object({ file: z.string(), model: z.number(), scenario: z.number(), requests: z.number() });
export type CaseTask = z.infer<typeof TaskSchema>;
export type CaseAnswer = { result: CaseResult } | { problem: string };

const { scenariosFile, rules } = DataSchema.parse(workerData);
const scenarios = readScenarios(scenariosFile);
const traces = new Map<string, ReturnType<typeof readTrace>>();

parentPort?.on("message", (message) => {
  void answer(TaskSchema.parse(message)).then((said) => parentPort?.postMessage(said, []));
});

async function answer({ file, model, scenario }: CaseTask): Promise<CaseAnswer> {
  try {
    const trace = traces.get(file) ?? readTrace(file);
    traces.set(file, trace);
    const requests = trace.models[model];
    const machines = scenarios[scenario];
    if (requests === undefined || machines === undefined) throw new Error("there is no such case");
    return { result: await runCase(trace.name, requests, machines, rules) };
  } catch (error) {
    return { problem: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
