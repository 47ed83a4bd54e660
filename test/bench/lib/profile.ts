/**
 * Where a process with an inspector spends its time, by
 * https://chromedevtools.github.io/devtools-protocol/tot/Profiler/. Sampling costs the process some of its speed: what
 * is measured meanwhile is no figure.
 */
import * as z from "zod";
import { isolatesOf } from "./inspector.ts";
import { quantile } from "./stats.ts";

const INTERVAL_US = 500;
/** Samples that far apart, or further, were held up. */
const STALL_MS = 20;
const ROWS = 40;

const ProfileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});
const AnswerSchema = z.object({ id: z.number(), result: z.looseObject({ profile: ProfileSchema.optional() }) });

type Profile = z.infer<typeof ProfileSchema>;

/** Begins; the function that it answers ends it, and tells in lines what took most. */
export async function profile(inspectorPort: number): Promise<() => Promise<string[]>> {
  const ends = await Promise.all((await isolatesOf(inspectorPort)).map(begin));
  return async () => {
    const profiles = await Promise.all(ends.map((end) => end()));
    // One that rests has few nodes, and long samples of whatever it did last.
    const busiest = profiles.toSorted((a, b) => b.nodes.length - a.nodes.length)[0];
    return busiest === undefined ? [] : linesOf(busiest);
  };
}

async function begin(url: string): Promise<() => Promise<Profile>> {
  const socket = new WebSocket(url);
  const answers = new Map<number, (profile: Profile | undefined) => void>();
  let last = 0;
  socket.addEventListener("message", ({ data }) => {
    const answer = AnswerSchema.safeParse(JSON.parse(String(data)));
    if (answer.success) answers.get(answer.data.id)?.(answer.data.result.profile);
  });
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  async function ask(method: string, params: object = {}): Promise<Profile | undefined> {
    last += 1;
    const answer = new Promise<Profile | undefined>((resolve) => answers.set(last, resolve));
    socket.send(JSON.stringify({ id: last, method, params }));
    return Promise.race([answer, new Promise<undefined>((resolve) => setTimeout(resolve, 5000, undefined))]);
  }
  await ask("Profiler.enable");
  await ask("Profiler.setSamplingInterval", { interval: INTERVAL_US });
  await ask("Profiler.start");
  return async () => {
    const taken = await ask("Profiler.stop");
    socket.close();
    return taken ?? { nodes: [], samples: [], timeDeltas: [] };
  };
}

function selfMs(taken: Profile): Map<string, number> {
  const names = new Map(taken.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  taken.samples.forEach((id, index) => {
    const name = names.get(id) ?? "?";
    times.set(name, (times.get(name) ?? 0) + (taken.timeDeltas[index] ?? 0) / 1000);
  });
  return times;
}

/** Of each function the time of all that it called, each sample counted once. */
function totalMs(taken: Profile): Map<string, number> {
  const parents = new Map(
    taken.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const names = new Map(taken.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  taken.samples.forEach((sample, index) => {
    const onStack = new Set<string>();
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) onStack.add(names.get(id) ?? "?");
    for (const name of onStack) times.set(name, (times.get(name) ?? 0) + (taken.timeDeltas[index] ?? 0) / 1000);
  });
  return times;
}

function nameOf({ functionName, url, lineNumber }: Profile["nodes"][number]["callFrame"]): string {
  return `${functionName === "" ? "anonymous" : functionName} ${url.split("/").at(-1) ?? ""}:${lineNumber + 1}`;
}

function linesOf(taken: Profile): string[] {
  const all = taken.timeDeltas.reduce((sum, us) => sum + us, 0) / 1000;
  const rows = (title: string, times: Map<string, number>) => [
    title,
    ...[...times]
      .toSorted(([, a], [, b]) => b - a)
      .slice(0, ROWS)
      .map(([name, ms]) => `${((100 * ms) / all).toFixed(1).padStart(6)} % ${name}`),
  ];
  const gaps = taken.timeDeltas.map((us) => us / 1000);
  return [
    `profile of ${(all / 1000).toFixed(1)} s; p99.9 between samples ${quantile(gaps, 0.999).toFixed(1)} ms, ${gaps.filter((ms) => ms >= STALL_MS).length} of ${STALL_MS} ms or more`,
    ...rows("of itself", selfMs(taken)),
    ...rows("with what it calls", totalMs(taken)),
  ];
}
