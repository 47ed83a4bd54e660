/**
 * What an isolated model has of the host's disk: folders that the operator names, and so much scratch as it may fill.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Json } from "../../src/contract/prediction.ts";
import { startFakeEdge } from "../integration/pool/fake-edge.ts";
import { makeHome, refOf, startPool } from "../integration/pool/pool-process.ts";

const CODE = `
import time

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, do: str, path: str) -> str:
        if do == "read":
            return open(path).read()
        with open(path, "wb") as file:
            file.write(b"x" * (4 << 20))
        time.sleep(60)
        return "written"
`;

test("a folder that is named is readable and no more, one beside it isn't there, and scratch has an end", async () => {
  const edge = await startFakeEdge();
  const home = makeHome({
    reader: { "run.py": CODE, "cog.yaml": `run: run.py:Runner\nedgeplane:\n  scratchBytes: ${1 << 20}\n` },
  });
  const [named, other] = ["named", "other"].map((name) => join(home.root, name));
  for (const folder of [named, other]) {
    mkdirSync(folder ?? "");
    writeFileSync(join(folder ?? "", "weights"), "weights");
  }
  const flags = ["--isolation", "namespaces", "--readable", named ?? ""];
  const pool = startPool(home, edge.url, edge.token, flags);
  try {
    await edge.until(() => edge.hellos.length > 0, 60_000, "the pool's hello");
    const ref = await refOf(home, "reader");
    const end = async (input: Json): Promise<string> => {
      const tracked = edge.submit(ref, input);
      await edge.until(() => tracked.terminal !== null, 60_000);
      return JSON.stringify(tracked.terminal);
    };
    expect(await end({ do: "read", path: join(named ?? "", "weights") })).toContain('"output":"weights"');
    expect(await end({ do: "read", path: join(other ?? "", "weights") })).toContain("No such file");
    expect(await end({ do: "write", path: join(named ?? "", "mine") })).toContain("Read-only file system");
    edge.submit(ref, { do: "write", path: "/tmp/mine" });
    const died = /model process died/;
    await edge.until(() => died.test(pool.output()), 60_000, "the end of the process that fills its scratch folder");
    expect(pool.output()).toMatch(/its scratch folder holds \d+ bytes, and may hold 1048576 \(scratchBytes\)/);
  } finally {
    await pool.kill("SIGKILL");
    await edge.close();
    home.remove();
  }
});
