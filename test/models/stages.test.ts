/** A model whose outputs are made beside its next run, by itself: what it says, and in which order. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Message, ModelProcess } from "./driver.ts";

const CODE = `
import os
import time
from typing import Any, List

from cog import BaseRunner, BatchInput


class Runner(BaseRunner):
    def run(self, text: str, gate: str) -> str:
        return text

    def run_batch(self, inputs: List[BatchInput]) -> Any:
        return inputs

    def postprocess_batch(self, inputs: Any) -> Any:
        open(inputs[0].gate + ".seen", "w").close()
        while not os.path.exists(inputs[0].gate):
            time.sleep(0.01)
        return {"none": "of them"} if inputs[0].text == "wrong" else [item.text.upper() for item in inputs]
`;

async function withStages(runsAhead: string, use: (model: ModelProcess, gate: string) => Promise<void>, code = CODE) {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-stages-"));
  writeFileSync(join(folder, "run.py"), code);
  writeFileSync(join(folder, "cog.yaml"), 'run: "run.py:Runner"\n');
  const model = new ModelProcess(folder, { env: { EDGEPLANE_RUNS_AHEAD: runsAhead } });
  try {
    await use(model, join(folder, "gate"));
  } finally {
    await model.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const typesOf = (messages: readonly Message[]): unknown[] => messages.map(({ type }) => type);

test("a process that is told to end while it makes outputs sends them first", async () => {
  await withStages("1", async (model, gate) => {
    await model.waitFor("ready");
    const seen: Message[] = [];
    const ran = model.predict({ text: "a", gate }, {}, 0, (message) => seen.push(message));
    await expect.poll(() => existsSync(`${gate}.seen`)).toBe(true);
    await expect.poll(() => typesOf(seen)).toEqual(["begun", "called"]);
    model.sendControl({ type: "shutdown" });
    // It lives on, as one more sign of life shows.
    const alive = (): number => model.control.filter(({ type }) => type === "alive").length;
    const before = alive();
    await expect.poll(alive).toBeGreaterThan(before + 1);
    writeFileSync(gate, "");
    expect(await ran).toMatchObject({ status: "succeeded", output: "A" });
    expect(typesOf(seen)).toEqual(["begun", "called", "done", "idle"]);
    expect(await model.exited).toBe(0);
  });
});

test("says whose list is none", async () => {
  await withStages("1", async (model, gate) => {
    writeFileSync(gate, "");
    await model.waitFor("ready");
    const wrong = await model.predict({ text: "wrong", gate });
    expect(wrong).toMatchObject({ status: "failed", batchError: true });
    expect(wrong.error).toContain("postprocess_batch must return a list, not a dict");
    expect(await model.predict({ text: "b", gate })).toMatchObject({ status: "succeeded", output: "B" });
  });
});

test("without a run ahead it makes outputs in turn, and says nothing of it", async () => {
  await withStages("0", async (model, gate) => {
    writeFileSync(gate, "");
    await model.waitFor("ready");
    const seen: Message[] = [];
    const ran = await model.predict({ text: "c", gate }, {}, 0, (message) => seen.push(message));
    expect(ran).toMatchObject({ status: "succeeded", output: "C" });
    expect(typesOf(seen)).toEqual(["done", "idle"]);
  });
});

test("a run_batch that yields has no result to make outputs of: it can't be set up", async () => {
  const yields = CODE.replace("        return inputs\n", "        yield inputs\n");
  await withStages(
    "1",
    async (model) => {
      expect(String((await model.waitFor("setup_failed"))["message"])).toContain(
        "postprocess_batch takes what run_batch",
      );
    },
    yields,
  );
});

test("a fork that comes back from prepare_batch ends there, and tells how", async () => {
  const forks = `
import os
from typing import Any, List

from cog import BaseRunner, BatchInput


class Runner(BaseRunner):
    def run(self, how: str) -> str:
        return how

    def prepare_batch(self, inputs: List[BatchInput]) -> Any:
        pid = os.fork()
        if pid == 0:
            if inputs[0].how == "raises":
                raise RuntimeError("in the fork")
            return None
        return os.WEXITSTATUS(os.waitpid(pid, 0)[1])

    def run_batch(self, code: Any) -> List[str]:
        return [str(code)]
`;
  await withStages(
    "1",
    async (model) => {
      await model.waitFor("ready");
      expect(await model.predict({ how: "returns" })).toMatchObject({ status: "succeeded", output: "0" });
      expect(await model.predict({ how: "raises" })).toMatchObject({ status: "succeeded", output: "1" });
    },
    forks,
  );
});
