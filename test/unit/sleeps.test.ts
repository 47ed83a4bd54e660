/** Tests wait for conditions. Where time itself is what a test is about, it is named here, and so is a new one. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { root } from "../clients/snippets.ts";

const SLEEP = /\b(?:sleep|delay|scheduler\.wait)\(|\bsetTimeout\(/g;
const OWN = "test/unit/sleeps.test.ts";

/** How many calls a file has, and what for. */
const known: Record<string, [number, string]> = {
  "gpu-pool/bridge/kafka/reader.test.ts": [1, "a leader that has nothing, on a fake clock"],
  "gpu-pool/runtime/memory-caps/memory-caps.test.ts": [1, "a process that only lives"],
  "gpu-pool/runtime/use-watch.test.ts": [1, "a process that only holds memory"],
  "scripts/lib/run-parts.test.ts": [1, "looks for a file again"],
  "scripts/lib/stack-lock.test.ts": [1, "looks for a file again"],
  "src/lane/releases.test.ts": [1, "the timers that it hands to the code, on a fake clock"],
  "src/routes/replicate/pushed-plugins.worker.test.ts": [1, "a plugin that waits too long"],
  "src/sandbox/distinct-limit.test.ts": [1, "lets promises settle, 0 ms"],
  "src/sandbox/local-runner.test.ts": [1, "a hook that hangs, on a fake clock"],
  "test/chaos/machines/machines.test.ts": [3, "when bursts and troubles come; looks again"],
  "test/chaos/usage.test.ts": [2, "when faults strike; the pace of the load"],
  "test/conformance/bridge/chaos.engine.test.ts": [2, "before another try; the pace of the load"],
  "test/conformance/bridge/native.engine.test.ts": [1, "the clock that it hands to the code"],
  "test/conformance/redis/process.engine.test.ts": [1, "before another try"],
  "test/e2e/versions.test.ts": [1, "a prediction that still runs when its version is deleted"],
  "test/integration/pool/hostile-usage.test.ts": [1, "a model that holds its device"],
  "test/integration/pool/outages.test.ts": [1, "a second signal is another one after a second: nothing tells when"],
  "test/integration/pool/pushed.test.ts": [1, "looks for a file again"],
  "test/integration/pool/strict-batches.test.ts": [2, "a model that takes some time, or holds its device"],
  "test/integration/pool/usage.test.ts": [2, "a model that holds its device, and one that waits"],
  "test/integration/settings/two-workers.test.ts": [1, "before another try"],
  "test/integration/webhooks/sender.test.ts": [1, "a receiver that is slow"],
  "test/isolation/disk.test.ts": [1, "a model that has filled its scratch space and isn't done"],
  "test/models/behaviour.test.ts": [1, "cancels at many points of a stream"],
  "test/models/stages.test.ts": [1, "looks for a file again"],
  "test/steady/guards.test.ts": [4, "looks again; what was published holds; the times of changes and samples"],
  "test/steady/steady.test.ts": [2, "looks again; the pace of the load"],
  "test/streams/streams.test.ts": [1, "before another try"],
  "test/through-pool/silence.test.ts": [1, "the machine sleeps for longer than a process may be silent"],
  "test/worker/model-guard.worker.test.ts": [1, "before another poll"],
};

it("sleep in no other place, and in no file more often", () => {
  const files = globSync("{src,plugins,gpu-pool,provider,scripts,test}/**/*.test.ts", { cwd: root }).filter(
    (file) => !file.includes("node_modules") && file !== OWN,
  );
  const found = files.flatMap((file) => {
    const count = readFileSync(join(root, file), "utf8").match(SLEEP)?.length ?? 0;
    return count === 0 ? [] : [[file, count] as const];
  });
  const expected = Object.entries(known).map(([file, [count]]) => [file, count]);
  expect(found.toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual(expected);
});

const WAIT = /\bvi\.wait(?:For|Until)\(/g;
/** A limit at the end of a call: a named one, options with a time-out, or a number. */
const LIMIT = /(?:, (?:PATIENCE|WAIT|COUNTED|[\d_]+)|timeout: [\d_]+[^()]*\}),?\s*$/;

it("wait with a limit of their own where Vitest's would be a second", () => {
  const files = globSync("{src,plugins,gpu-pool,provider,scripts,test}/**/*.ts", { cwd: root }).filter(
    (file) => !file.includes("node_modules") && file !== OWN,
  );
  const found = files.flatMap((file) => {
    const text = readFileSync(join(root, file), "utf8");
    return [...text.matchAll(WAIT)].flatMap(({ index, 0: { length } }) => {
      const call = argumentsAt(text, index + length);
      return LIMIT.test(call) ? [] : [`${file}: ${call}`];
    });
  });
  expect(found).toEqual([]);
});

/** What stands between the parentheses of a call, whose inside begins at `from`. */
function argumentsAt(text: string, from: number): string {
  let [at, depth] = [from, 1];
  for (; depth > 0 && at < text.length; at += 1) {
    if ("([{".includes(text[at] ?? "")) depth += 1;
    if (")]}".includes(text[at] ?? "")) depth -= 1;
  }
  return text.slice(from, at - 1);
}
