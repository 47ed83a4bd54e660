/** How many predictions one process of a model runs at once, known before it is started. */
import { readFile, realpath } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { type CogYaml, predictorReference } from "./cog-yaml.ts";

const most = 1024;
const decorator = /^[ \t]*@(?:cog\.)?concurrent\(\s*max\s*=\s*(\d+)/m;
const usualFiles = ["run.py", "predict.py"];

async function readInside(modelDir: string, path: string): Promise<string | null> {
  const root = await realpath(modelDir);
  const full = await realpath(resolve(modelDir, path)).catch(() => null);
  return full !== null && full.startsWith(root + sep) ? readFile(full, "utf8") : null;
}

/**
 * `concurrency.max` of cog.yaml, else `@concurrent(max=N)` in the predictor's file, else 1. Cog asks for an integer
 * literal there, so that it can be read without running the model (source: replicate/cog, docs/python.md).
 */
export async function declaredConcurrency(modelDir: string, cog: CogYaml): Promise<number> {
  if (cog.concurrency?.max !== undefined) return cog.concurrency.max;
  const named = predictorReference(cog)?.split(":")[0];
  for (const file of named === undefined ? usualFiles : [named]) {
    const found = decorator.exec((await readInside(modelDir, file)) ?? "")?.[1];
    if (found !== undefined) return Math.min(Math.max(Number(found), 1), most);
  }
  return 1;
}
