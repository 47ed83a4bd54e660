/** How the local Worker finds the processes of uploaded plugins, and finds them again. */
import { afterEach, expect, test, vi } from "vitest";
import { createLocalRunner } from "./local-runner.ts";
import { ManifestSchema } from "./manifest.ts";
import { SandboxFault } from "./runner.ts";

const manifest = ManifestSchema.parse({ name: "tried", api_version: 1, phases: ["admit"] });
const sandboxed = { upload: { hash: "0".repeat(64), manifest, code: "" }, network: [] };
const request = { config: {}, phase: "admit", subject: {} } as const;

afterEach(() => void vi.useRealTimers());

/** A supervisor whose processes are numbered, and what each answers. */
function world(answer: (process: number) => Promise<Response>) {
  let started = 0;
  const asked: string[] = [];
  const supervisor = { fetch: async () => Response.json({ url: `http://127.0.0.1:${++started}`, token: "t" }) };
  const network = {
    fetch: async (url: string) => {
      asked.push(url);
      return answer(started);
    },
  };
  return { asked, runner: createLocalRunner(supervisor, network) };
}

const verdict = async () => Response.json({ value: '{"verdict":"continue"}' });
const gone = async (): Promise<Response> => Promise.reject(new Error("connection refused"));

test("one process serves all calls; one that is gone already is started again, and asked", async () => {
  let isGone = false;
  const { asked, runner } = world((process) => (process === 1 && isGone ? gone() : verdict()));
  for (let count = 0; count < 2; count += 1)
    expect(await runner.run(sandboxed, request)).toEqual({ verdict: "continue" });
  isGone = true;
  expect(await runner.run(sandboxed, request)).toEqual({ verdict: "continue" });
  expect(asked).toEqual([1, 1, 1, 2].map((process) => `http://127.0.0.1:${process}/run`));
});

test("a hook whose process ends while it runs is not run again in the next one", async () => {
  vi.useFakeTimers();
  const { asked, runner } = world(async (process) => {
    if (process > 1) return verdict();
    await new Promise((resolve) => {
      setTimeout(resolve, 500);
    });
    return gone();
  });
  const hung = runner.run(sandboxed, request).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(500);
  expect(await hung).toBeInstanceOf(SandboxFault);
  expect(asked).toHaveLength(1);
  expect(await runner.run(sandboxed, request)).toEqual({ verdict: "continue" });
});

test("a version that the supervisor doesn't start is told with the reason", async () => {
  const supervisor = { fetch: async () => Response.json({ problem: "it is in quarantine" }) };
  const runner = createLocalRunner(supervisor, { fetch: gone });
  await expect(runner.run(sandboxed, request)).rejects.toThrow("it is in quarantine");
});
