/** What needs more than one message: cancellations, concurrency, health, batches, the end of a process. */
import { describe, expect, test, vi } from "vitest";
import { canMountDisks, smallDisk } from "../small-disk.ts";
import { startStopwatch } from "../stalls.ts";
import { isObject, type ItemResult, type Message, withModel } from "./driver.ts";

describe("cancel", () => {
  test("raises in a synchronous prediction, which cleans up, and the next one runs", async () => {
    await withModel("cancel-sync", async (model) => {
      for (const [index, how] of ["sleep", "spin", "except"].entries()) {
        const id = `cancel-${how}`;
        const result = await model.predict({ how }, { id }, 0, (message) => {
          if (message["type"] === "log" && message["text"] === "running\n") model.sendControl({ type: "cancel", id });
        });
        expect(result.status).toBe("canceled");
        expect(result.logs).toContain("cleaning up");
        expect((await model.predict({})).output).toBe(index + 1);
      }
    });
  });

  test("ends a stream between chunks and never cuts a frame", async () => {
    await withModel("cancel-stream", async (model) => {
      for (let round = 0; round < 8; round += 1) {
        const id = `stream-${round}`;
        let asked = false;
        const result = await model.predict({ count: 1_000_000, pause: 0, size: 2_000_000 }, { id }, 0, (message) => {
          if (asked || message["type"] !== "output") return;
          asked = true;
          setTimeout(() => model.sendControl({ type: "cancel", id }), 3 * round);
        });
        expect(result.status).toBe("canceled");
        expect(result.chunks.length).toBeGreaterThan(0);
      }
      expect((await model.predict({ count: 2, pause: 0 })).output).toHaveLength(2);
    });
  });

  test("reaches items that wait in the same run, and one that overtakes its run", async () => {
    await withModel("cancel-sync", async (model) => {
      const results = await model.run(
        [{ id: "first", input: { how: "sleep" } }, { id: "second" }, { id: "third" }],
        0,
        (message) => {
          if (message["type"] !== "log" || message["text"] !== "running\n") return;
          for (const id of ["second", "first"]) model.sendControl({ type: "cancel", id });
        },
      );
      expect(results.map((result) => result.status)).toEqual(["canceled", "canceled", "succeeded"]);
      model.sendControl({ type: "cancel", id: "early" });
      // Control messages are heard in order.
      model.sendControl({ type: "healthcheck" });
      await model.waitFor("health");
      expect((await model.predict({ how: "sleep" }, { id: "early" })).status).toBe("canceled");
    });
  });

  test.each([
    ["one item", "state", {}, 1, 0],
    ["several, one after another", "state", {}, 2, 2],
    ["several in one call", "batch", { text: "a" }, 2, 0],
  ])("says when an item begins only where the run does not tell: %s", async (_what, name, input, count, told) => {
    await withModel(name, async (model) => {
      let started = 0;
      const items = Array.from({ length: count }, () => ({ input }));
      await model.run(items, 0, (message) => (started += message["type"] === "started" ? 1 : 0));
      expect(started).toBe(told);
    });
  });

  test("cancels one task of an asynchronous model and leaves the other", async () => {
    await withModel(
      "cancel-async",
      async (model) => {
        const other = model.predict({ seconds: 0.2 }, {}, 1);
        const canceled = await model.predict({ seconds: 30 }, { id: "canceled" }, 0, (message) => {
          if (message["type"] === "log") model.sendControl({ type: "cancel", id: "canceled" });
        });
        expect(canceled.status).toBe("canceled");
        expect(await other).toMatchObject({ status: "succeeded", output: 1 });
      },
      { slots: 2 },
    );
  });

  test("ends a batch only when all of it is canceled", async () => {
    await withModel("batch-slow", async (model) => {
      const runTwo = (canceled: string[], seconds: number): Promise<ItemResult[]> =>
        model.run(
          [
            { id: "one", input: { seconds } },
            { id: "two", input: { seconds } },
          ],
          0,
          (message) => {
            if (message["type"] === "log") for (const id of canceled) model.sendControl({ type: "cancel", id });
          },
        );
      expect((await runTwo(["one"], 0.2)).map((result) => result.status)).toEqual(["succeeded", "succeeded"]);
      expect((await runTwo(["one", "two"], 30)).map((result) => result.status)).toEqual(["canceled", "canceled"]);
      expect((await model.predict({ seconds: 0 })).output).toBe("done");
    });
  });

  test("of an id that nobody knows changes nothing", async () => {
    await withModel("cancel-sync", async (model) => {
      model.sendControl({ type: "cancel", id: "unknown" });
      expect((await model.predict({})).status).toBe("succeeded");
    });
  });
});

describe("asynchronous slots", () => {
  test("run at once, each with its own logs and metrics", async () => {
    await withModel(
      "async-concurrent",
      async (model) => {
        const names = ["a", "b", "c", "d"];
        const results = await Promise.all(names.map((name, slot) => model.predict({ name }, {}, slot)));
        expect(results.map((result) => result.output)).toContain(4);
        for (const [index, result] of results.entries()) {
          expect(result.logs).toBe(`hello from ${names[index]}\ngoodbye from ${names[index]}`);
          expect(result.metrics).toEqual({ name: names[index] });
        }
      },
      { slots: 4 },
    );
  });

  test("run one after another in one slot", async () => {
    await withModel("async-concurrent", async (model) => {
      const results = await model.run([{ input: { name: "a", seconds: 0 } }, { input: { name: "b", seconds: 0 } }]);
      expect(results.map((result) => result.output)).toEqual([1, 1]);
    });
  });
});

describe("predict_batch", () => {
  test("gives each item its own output, error, metrics, and refuses bad inputs alone", async () => {
    await withModel("batch", async (model) => {
      const results = await model.run(["a", "", "bad", "bcd"].map((text) => ({ input: { text } })));
      expect(results.map((result) => result.status)).toEqual(["succeeded", "failed", "failed", "succeeded"]);
      expect(results.map((result) => result.error)).toEqual([
        null,
        expect.stringContaining("text: must have at least 1"),
        "bad: bad",
        null,
      ]);
      expect(results[3]).toMatchObject({ output: "BCD", metrics: { batch_size: 3, length: 3 }, batchError: false });
      expect(results[0]?.logs).toBe("batch of 3\n");
    });
  });

  test("marks everything without a result when the call raises or does not match", async () => {
    await withModel("batch", async (model) => {
      const died = await model.run([{ input: { text: "a" } }, { input: { text: "die" } }]);
      for (const result of died)
        expect(result).toMatchObject({ status: "failed", batchError: true, error: "the whole batch died" });
      expect(died[0]?.logs).toContain("RuntimeError: the whole batch died");
      const short = await model.run([{ input: { text: "short" } }, { input: { text: "b" } }]);
      for (const result of short) expect(result).toMatchObject({ status: "failed", batchError: true });
      expect(short[0]?.error).toContain("one entry for each of its 2 inputs, not 1");
      expect((await model.predict({ text: "b" })).output).toBe("B");
    });
  });

  test("streams to each item, ends them apart, fails one alone", async () => {
    await withModel("batch-stream", async (model) => {
      const ended: unknown[] = [];
      const items = [{ words: 1 }, { words: 3 }, { words: 3, fail_at: 1 }];
      const results = await model.run(
        items.map((input, index) => ({ id: `i${index}`, input })),
        0,
        (message) => {
          if (message["type"] === "done") ended.push(message["id"]);
        },
      );
      expect(results.map((result) => result.output)).toEqual([["0 "], ["0 ", "1 ", "2 "], null]);
      expect(results[2]).toMatchObject({ status: "failed", error: "failed at 1", chunks: ["0 "], batchError: false });
      expect(ended).toEqual(["i0", "i2", "i1"]);
    });
  });

  test("may be async", async () => {
    await withModel("batch-async", async (model) => {
      const results = await model.run([{ input: { x: 1 } }, { input: { x: 2 } }]);
      expect(results.map((result) => result.output)).toEqual([2, 4]);
    });
  });
});

describe("control channel", () => {
  test("answers health checks", async () => {
    await withModel("healthcheck", async (model) => {
      const ask = async (): Promise<Message> => {
        model.control.length = 0;
        model.sendControl({ type: "healthcheck" });
        return model.waitFor("health");
      };
      expect(await ask()).toMatchObject({ healthy: true });
      await model.predict({ healthy: "no" });
      expect(await ask()).toMatchObject({ healthy: false, message: "the model's healthcheck answered False" });
      await model.predict({ healthy: "raise" });
      expect(await ask()).toMatchObject({ healthy: false, message: "the card fell off the bus" });
      await model.predict({ healthy: "odd" });
      expect(await ask()).toMatchObject({ healthy: false, message: "the truth of an array is ambiguous" });
    });
    for (const [name, healthy] of [
      ["runner", true],
      ["healthcheck-async", false],
    ] as const) {
      await withModel(name, async (model) => {
        model.sendControl({ type: "healthcheck" });
        expect(await model.waitFor("health")).toMatchObject({ healthy });
      });
    }
  });

  test("says what runs, every second", async () => {
    await withModel("cancel-sync", async (model) => {
      const running = model.predict({ how: "sleep" }, { id: "told" });
      const told = () => model.control.filter(({ type }) => type === "alive").map((alive) => alive["running"]);
      await expect.poll(told).toContainEqual(["told"]);
      model.sendControl({ type: "cancel", id: "told" });
      expect((await running).status).toBe("canceled");
    });
  });

  test("shutdown finishes what runs and exits with 0", async () => {
    await withModel("cancel-stream", async (model) => {
      const running = model.predict({ count: 5, pause: 0.05 }, {}, 0, ({ type }) => {
        if (type === "output") model.sendControl({ type: "shutdown" });
      });
      expect((await running).output).toHaveLength(5);
      expect(await model.exited).toBe(0);
    });
  });

  test("shutdown does not wait for ever: threads and exit hooks of a model get 3 s", async () => {
    await withModel("hostile-signals", async (model) => {
      using watch = startStopwatch();
      model.sendControl({ type: "shutdown" });
      expect(await model.exited).toBe(0);
      expect(watch.ms()).toBeLessThan(6000);
    });
    await withModel("setup-threads", async (model) => {
      model.sendControl({ type: "shutdown" });
      expect(await model.exited).toBe(0);
    });
  });

  test("the end of the channel ends the process at once, also within setup", async () => {
    await withModel("cancel-sync", async (model) => {
      const running = model.predict({ how: "sleep" }, {}, 0, ({ type }) => {
        if (type === "log") model.endControl();
      });
      await expect(running).rejects.toThrow();
      expect(await model.exited).toBe(0);
    });
    await withModel(
      "hostile-never-ready",
      async (model) => {
        await model.waitFor("loaded");
        await model.waitFor("alive");
        model.endControl();
        expect(await model.exited).toBe(0);
        expect(model.printed).toContain("still setting up");
      },
      { waitReady: false },
    );
  });

  test("carries the schema in Cog's shape", async () => {
    await withModel("stream-concatenate", async (model) => {
      const loaded = await model.waitFor("loaded");
      const schema = loaded["schema"] ?? null;
      expect(isObject(schema) && schema["openapi"]).toBe("3.0.2");
      expect(JSON.stringify(schema)).toContain('"x-cog-streaming":true');
    });
  });
});

test("says when the disk took no more, however the model tells it, and not when a model only says so", async () => {
  await withModel("disk-full", async (model) => {
    for (const [how, isFull] of [
      ["writes", true],
      ["wraps", true],
      ["says", undefined],
    ] as const) {
      const told: unknown[] = [];
      await model.predict({ how }, {}, 0, (message) => {
        if (message["type"] === "done") told.push(message["diskFull"]);
      });
      expect([how, told]).toEqual([how, [isFull]]);
    }
  });
});

test.runIf(canMountDisks)("says so, too, where its input's file finds no room: that input is not wrong", async () => {
  using disk = smallDisk(1);
  vi.stubEnv("EDGEPLANE_TEST_TMP", disk.path);
  try {
    for (const name of ["input-path", "input-path-batch"]) {
      await withModel(name, async (model) => {
        disk.fill(0);
        const told: unknown[] = [];
        const file = `data:text/plain;base64,${Buffer.alloc(100_000, 65).toString("base64")}`;
        await model.predict({ file }, {}, 0, (message) => {
          if (message["type"] === "done") told.push([message["diskFull"], message["invalidInput"]]);
        });
        expect([name, told]).toEqual([name, [[true, undefined]]]);
        disk.empty();
        expect((await model.predict({ file })).status).toBe("succeeded");
      });
    }
  } finally {
    vi.unstubAllEnvs();
  }
});
