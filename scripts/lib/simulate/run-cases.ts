/** Runs cases on as many threads as there are processors. The results come in the order of the cases. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { CaseResult } from "./case.ts";
import type { CaseAnswer, CaseTask } from "./case-worker.ts";

export type CaseOptions = {
  scenariosFile: string;
  rules: readonly string[];
  onDone(result: CaseResult, left: number): void;
};

/** Rejects with the first case's problem. */
export async function runCases(tasks: readonly CaseTask[], options: CaseOptions): Promise<CaseResult[]> {
  const results = new Map<number, CaseResult>();
  // The longest first, so that the last ones end together.
  const waiting = tasks
    .map((task, index) => ({ task, index }))
    .toSorted((one, other) => other.task.requests - one.task.requests);
  const workers = Array.from({ length: Math.min(tasks.length, availableParallelism()) }, () => startWorker(options));
  try {
    await Promise.all(
      workers.map(async (worker) => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          const answer = await ask(worker, next.task);
          if ("problem" in answer) throw new Error(answer.problem);
          results.set(next.index, answer.result);
          options.onDone(answer.result, tasks.length - results.size);
        }
      }),
    );
  } finally {
    for (const worker of workers) void worker.terminate();
  }
  return tasks.flatMap((_, index) => results.get(index) ?? []);
}

function startWorker({ scenariosFile, rules }: CaseOptions): Worker {
  return new Worker(new URL("./case-worker.ts", import.meta.url), { workerData: { scenariosFile, rules } });
}

async function ask(worker: Worker, task: CaseTask): Promise<CaseAnswer> {
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (answer: CaseAnswer) => {
      worker.off("error", reject);
      resolve(answer);
    });
    worker.postMessage(task, []);
  });
}
