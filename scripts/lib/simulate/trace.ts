/** Traces of arrivals: CSV with the header `at_s,model,work_s`, sorted by `at_s`. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Requests } from "../../../src/scaling/simulation/simulate.ts";
import { syntheticTrace } from "./synthetic.ts";
import type { Trace } from "./types.ts";

const HEADER = "at_s,model,work_s";
const PEAK_S = 600;
const FIRST = 100;
const FIRST_SHARE = 0.05;

export class TraceError extends Error {}

/** `file`: or the name of a synthetic trace. */
export function readTrace(file: string): Trace {
  const synthetic = syntheticTrace(file);
  if (synthetic !== null) return synthetic;
  const [header, ...lines] = readFileSync(file, "utf8").trimEnd().split(/\r?\n/);
  if (header !== HEADER) throw new TraceError(`${file}: the first line must be ${HEADER}`);
  const byModel = new Map<string, { at: number[]; work: number[] }>();
  let lastS = 0;
  for (const [index, line] of lines.entries()) {
    const [at = "", model = "", work = "", ...more] = line.split(",");
    const [atS, workS] = [Number(at), Number(work)];
    if (at === "" || model === "" || work === "" || more.length > 0 || !Number.isFinite(atS) || !(workS > 0))
      throw new TraceError(
        `${file}:${index + 2}: must be a time, a model and a duration above 0: ${line.slice(0, 80)}`,
      );
    if (atS < lastS) throw new TraceError(`${file}:${index + 2}: the lines must be sorted by at_s`);
    lastS = atS;
    const rows = byModel.get(model) ?? { at: [], work: [] };
    byModel.set(model, rows);
    rows.at.push(atS);
    rows.work.push(workS);
  }
  if (byModel.size === 0) throw new TraceError(`${file}: has no arrivals behind its first line`);
  const models = [...byModel].map(([model, { at, work }]) => ({
    model,
    atS: Float64Array.from(at),
    workS: Float64Array.from(work),
  }));
  return { name: basename(file).replace(/\.csv$/, ""), models };
}

export function meanWorkS({ workS }: Requests): number {
  return workS.reduce((sum, work) => sum + work, 0) / workS.length;
}

/**
 * What is known of a model that has answered some predictions before: the mean work of the trace's first 100, or of the
 * first twentieth of a shorter trace.
 */
export function firstMeanWorkS({ atS, workS }: Requests): number {
  const first = Math.max(1, Math.min(FIRST, Math.floor(workS.length * FIRST_SHARE)));
  return meanWorkS({ atS, workS: workS.subarray(0, first) });
}

/** Slots that the busiest ten minutes keep busy. */
export function peakLoad({ atS, workS }: Requests): number {
  const sums = new Map<number, number>();
  atS.forEach((at, i) => {
    const bin = Math.floor(at / PEAK_S);
    sums.set(bin, (sums.get(bin) ?? 0) + (workS[i] ?? 0));
  });
  return Math.max(...sums.values()) / PEAK_S;
}
