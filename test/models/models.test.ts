/** Every model folder that has a `cases.json`: what it says of itself, and what its predictions come to. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ModelCasesSchema, missingPart, problemsOf } from "./cases.ts";
import { isObject, type Json, type Message, startModel, withModel } from "./driver.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const python = process.env["EDGEPLANE_TEST_PYTHON"] ?? "python3";
const minor = Number(
  spawnSync(python, ["-c", "import sys; print(sys.version_info.minor)"], { encoding: "utf8" }).stdout,
);

function canImport(name: string): boolean {
  return spawnSync(python, ["-c", `import ${name}`]).status === 0;
}

function schemasOf(loaded: Message): Json {
  const schema = loaded["schema"] ?? null;
  const components = isObject(schema) ? (schema["components"] ?? null) : null;
  return isObject(components) ? (components["schemas"] ?? null) : null;
}

const folders = readdirSync(here).filter((name) => existsSync(`${here}${name}/cases.json`));

describe("model folders", () => {
  test("there are at least 40", () => {
    expect(folders.length).toBeGreaterThanOrEqual(40);
  });

  for (const name of folders) {
    const about = ModelCasesSchema.parse(JSON.parse(readFileSync(`${here}${name}/cases.json`, "utf8")));
    const runnable = minor >= about.minMinor && (about.needs === undefined || canImport(about.needs));
    test.runIf(runnable)(name, async () => {
      if (about.setupFails !== undefined) {
        const model = await startModel(name, { waitReady: false });
        try {
          const failed = await model.waitFor("setup_failed");
          expect(failed["message"]).toContain(about.setupFails);
          expect(failed["traceback"]).toContain(about.traceback ?? "");
          expect(await model.exited).toBe(1);
        } finally {
          await model.close();
        }
        return;
      }
      await withModel(
        name,
        async (model) => {
          const loaded = await model.waitFor("loaded");
          expect(missingPart(about.schema, schemasOf(loaded))).toBeNull();
          expect(loaded).toMatchObject({ streams: about.streams, batch: about.batch, concurrency: about.concurrency });
          if (about.async !== undefined) expect(loaded["async"]).toBe(about.async);
          for (const one of about.cases) {
            const result = await model.predict(one.input, one.context === undefined ? {} : { context: one.context });
            expect(problemsOf(one, result), `${JSON.stringify(one.input).slice(0, 200)}\n${result.logs}`).toEqual([]);
          }
        },
        { env: about.env },
      );
    });
  }
});
