/** A model that may use so much of the host's memory, and no more. */
import { expect, test } from "vitest";
import { startFakeEdge } from "../integration/pool/fake-edge.ts";
import { models } from "../integration/pool/models.ts";
import { makeHome, refOf, startPool } from "../integration/pool/pool-process.ts";

const MIB = 1024 * 1024;

test("an input that takes more than the model may fails alone, and says why; its batch mates succeed", async () => {
  const edge = await startFakeEdge();
  const files = { ...models.batch };
  files["cog.yaml"] = `${files["cog.yaml"] ?? ""}\n  memoryBytes: ${200 * MIB}\n`;
  const home = makeHome({ batch: files });
  const pool = startPool(home, edge.url, edge.token, ["--isolation", "auto"]);
  try {
    await edge.until(() => edge.hellos.length > 0, 60_000, "the pool's hello");
    const ref = await refOf(home, "batch");
    const [fine, large, other] = [{ do: "fine" }, { do: "fill 300" }, { do: "other" }].map((input) =>
      edge.submit(ref, input),
    );
    await edge.until(() => [fine, large, other].every((tracked) => tracked?.terminal !== null), 60_000);
    expect(fine?.terminal).toMatchObject({ type: "succeeded" });
    expect(other?.terminal).toMatchObject({ type: "succeeded" });
    expect(large?.terminal).toMatchObject({ type: "failed", error: { code: "model_crashed" } });
    expect(JSON.stringify(large?.terminal)).toMatch(/out of memory: it use[sd] .* 209715200 /);
  } finally {
    await pool.kill("SIGKILL");
    await edge.close();
    home.remove();
  }
});
