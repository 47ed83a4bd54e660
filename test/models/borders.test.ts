/** Payloads of every size, files, and models that do harm: what crosses the sockets stays whole. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { isObject, type Message, withModel } from "./driver.ts";

const mebibyte = 1024 * 1024;

/** How long the text is in a frame, where what is not ASCII is escaped. */
function asciiBytes(text: string): number {
  return text.length + 5 * text.replaceAll(/[\0-\x7f]/g, "").length;
}

describe("payloads", () => {
  test("of 10 MB come and go by file, which is deleted", async () => {
    await withModel("large", async (model) => {
      const text = "ü".repeat(5 * mebibyte);
      const inputFile = join(model.scratchDir, "in.json");
      writeFileSync(inputFile, JSON.stringify({ text }));
      const frames: string[][] = [];
      const [result] = await model.run([{ inputFile }], 0, (message) => frames.push(Object.keys(message)));
      expect(result?.status).toBe("succeeded");
      expect(result?.output === text).toBe(true);
      expect(frames.some((keys) => keys.includes("outputFile"))).toBe(true);
      expect(existsSync(inputFile)).toBe(false);
      expect(readdirSync(model.scratchDir)).toHaveLength(1);
    });
  });

  test("just under the limit go in the frame", async () => {
    await withModel("large", async (model) => {
      const result = await model.predict({ size: 3 * mebibyte - 10 });
      expect(result.output === "é".repeat(3 * mebibyte - 10)).toBe(true);
    });
  });

  test("a payload file outside the scratch folder, or a missing one, fails its prediction only", async () => {
    await withModel("large", async (model) => {
      const [outside] = await model.run([{ inputFile: "/etc/hostname" }]);
      expect(outside).toMatchObject({ status: "failed", error: "the payload file is not in the scratch folder" });
      const [missing] = await model.run([{ inputFile: join(model.scratchDir, "none.json") }]);
      expect(missing?.error).toContain("the payload file can't be read");
      expect((await model.predict({ text: "x" })).output).toBe("x");
    });
  });

  test("files that the pool fetched are read from the scratch folder and deleted", async () => {
    await withModel("input-path", async (model) => {
      const file = join(model.scratchDir, "fetched.txt");
      writeFileSync(file, "content");
      expect((await model.predict({ file })).output).toBe(".txt content");
      expect(existsSync(file)).toBe(false);
      expect((await model.predict({ file })).error).toContain("file: the file is missing");
      expect((await model.predict({ file: `${model.scratchDir}/../../etc/hostname` })).status).toBe("failed");
    });
  });

  test("a fetched file without an extension gets that of its bytes, where these tell one", async () => {
    await withModel("input-path", async (model) => {
      const file = join(model.scratchDir, "0-5f3a9c");
      for (const [content, output] of [
        ["%PDF-1.4", ".pdf %PDF-1.4"],
        ["just text", " just text"],
      ]) {
        writeFileSync(file, content ?? "");
        expect((await model.predict({ file })).output).toBe(output);
        expect(readdirSync(model.scratchDir)).toEqual([]);
      }
      writeFileSync(`${file}.txt`, "%PDF-1.4");
      expect((await model.predict({ file: `${file}.txt` })).output).toBe(".txt %PDF-1.4");
    });
  });

  test("the same output path, written again, leaves the file that was given untouched", async () => {
    await withModel("output-path", async (model) => {
      const first = await model.predict({ text: "one" });
      const second = await model.predict({ text: "two" });
      expect(first.output).not.toEqual(second.output);
      expect(JSON.stringify(first.output)).toContain(model.scratchDir);
    });
  });
});

test("files of an output that can't be sent are deleted, and those of one that can stay", async () => {
  await withModel("output-half", async (model) => {
    for (const what of ["nan", "missing", "handle"]) {
      expect((await model.predict({ what })).status).toBe("failed");
      expect([what, readdirSync(model.scratchDir)]).toEqual([what, []]);
    }
    expect((await model.predict({ what: "whole" })).status).toBe("succeeded");
    expect(readdirSync(model.scratchDir)).toHaveLength(1);
  });
});

test("a file whose name is no UTF-8 leaves under one that is", async () => {
  await withModel("output-half", async (model) => {
    const { output } = await model.predict({ what: "odd" });
    const files = Array.isArray(output) ? output.map((one) => (isObject(one) ? String(one["$file"]) : "")) : [];
    expect(files.map((file) => basename(file))).toEqual(["caf\ufffd.txt", "caf\ufffd.txt"]);
    expect(files.map((file) => readFileSync(file, "utf8"))).toEqual(["odd", "odd"]);
  });
});

test.runIf(existsSync("/dev/shm"))(
  "an output in the folder for temporary files leaves it, on whatever disk the scratch folder is",
  async () => {
    const where = join(tmpdir(), `edgeplane-output-${process.pid}.txt`);
    const before = process.env["EDGEPLANE_TEST_TMP"];
    process.env["EDGEPLANE_TEST_TMP"] = "/dev/shm";
    try {
      await withModel("output-path", async (model) => {
        expect(JSON.stringify((await model.predict({ text: "one", where })).output)).toContain("/dev/shm/");
        expect(existsSync(where)).toBe(false);
      });
    } finally {
      if (before === undefined) delete process.env["EDGEPLANE_TEST_TMP"];
      else process.env["EDGEPLANE_TEST_TMP"] = before;
    }
  },
);

describe("harm", () => {
  test("what was printed outside a prediction goes to the pool's descriptors", async () => {
    await withModel("logs", async (model) => {
      expect((await model.predict({ text: "x" })).status).toBe("succeeded");
      expect(model.printed).toContain("printed at import\n");
      expect(model.printed).toContain("printed in setup\n");
      expect(model.printed).not.toContain("python x");
    });
  });

  test("a process that dies closes its sockets and its last words arrive", async () => {
    for (const [how, code] of [
      ["exit", 7],
      ["kill", null],
      ["segfault", null],
    ] as const) {
      await withModel("hostile-dies", async (model) => {
        await expect(model.predict({ how })).rejects.toThrow("exited");
        expect(await model.exited).toBe(code);
        if (how === "segfault") await expect.poll(() => model.printed).toContain("Segmentation fault");
      });
    }
  });

  test("setup that never ends still says that it lives", async () => {
    await withModel(
      "hostile-never-ready",
      async (model) => {
        await model.waitFor("alive");
        expect(model.control.some((message) => message["type"] === "ready")).toBe(false);
      },
      { waitReady: false },
    );
  });

  test.each([1, 2])("words that are too long for a frame go in several, with %i slots", async (slots) => {
    await withModel(
      "hostile-words",
      async (model) => {
        const longest = 8 * mebibyte;
        const sizes: number[] = [];
        const measure = (message: Message) => sizes.push(asciiBytes(String(message["text"] ?? "")));
        for (const how of ["print", "unfinished"]) {
          const printed = await model.predict({ how }, {}, 0, measure);
          expect(printed).toMatchObject({ status: "succeeded", output: how });
          expect(printed.logs.trimEnd()).toHaveLength(2_000_000);
        }
        const raised = await model.predict({ how: "raise" }, {}, 0, measure);
        expect(raised.status).toBe("failed");
        expect(raised.error?.length).toBeLessThan(50_000);
        expect(raised.logs).toContain("ValueError");
        expect(Math.max(...sizes)).toBeLessThan(longest);
      },
      { slots },
    );
  });

  test("processes that a prediction leaves, and that print without end, hold up neither it nor the next", async () => {
    await withModel("hostile-floods", async (model) => {
      for (const how of ["start", "again", "stop"]) expect((await model.predict({ how })).output).toBe(how);
    });
  });

  test("a log line beyond 64 KiB and invalid UTF-8 are sent on", async () => {
    await withModel("hostile-prints", async (model) => {
      const flood = await model.predict({ how: "flood" });
      expect(flood.logs).toHaveLength(200 * 10_000);
      const garbage = await model.predict({ how: "garbage" });
      expect(garbage.logs).toContain("\ufffd");
    });
  });
});
