/** The object of one account's outputs in workerd. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import type { Env } from "../env.ts";
import type { ReservationEnd } from "../../plugins/kernel/reservations.ts";
import { responseService } from "./service.ts";

const edge = env as Env;
const service = responseService(edge);
const terms = { ttlMs: 60_000, maxBytes: 100, accountBytes: 10_000 };

function end(accountId: string, key: string, more: Partial<ReservationEnd> = {}): ReservationEnd {
  return {
    ...{ ...service.remember(key, terms), plugin: "response-cache", how: "settle", predictionId: "p", accountId },
    ...{
      model: { owner: "acme", name: "m", version: "v" },
      status: "succeeded",
      attempt: 1,
      cost: 1,
      costNano: 0,
      metrics: {},
    },
    answer: { output: `of ${key}`, yielded: false },
    ...more,
  };
}

it("remembers over its end what it was given, each account's by itself, and no more than it may", async () => {
  await service.end([
    end("one", "a"),
    end("two", "b"),
    end("one", "large", { answer: { output: "x".repeat(100), yielded: false } }),
    end("one", "unreadable", { data: 7 }),
    end("one", "file", { answer: { output: ["https://edge.test/v1/outputs/a/b/c"], yielded: true } }),
  ]);
  await evictDurableObject(edge.RESPONSES.getByName("one"));
  const keys = ["a", "b", "large", "unreadable", "file"];
  const found = await Promise.all(keys.map(async (key) => service.find("one", key)));
  expect(found).toEqual([{ output: "of a", yielded: false }, null, null, null, null]);
  expect(await service.find("two", "b")).toEqual({ output: "of b", yielded: false });
  await service.forget("one", "a");
  expect(await service.find("one", "a")).toBeNull();
});

it("stores nothing by being asked, and removes all that is over", async () => {
  const stub = edge.RESPONSES.getByName("clean");
  const tables = () =>
    runInDurableObject(stub, (_object, state) =>
      state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'response'").toArray(),
    );
  expect(await service.find("clean", "a")).toBeNull();
  expect(await tables()).toEqual([]);
  await service.end([end("clean", "a")]);
  expect(await tables()).toHaveLength(1);
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + 3_600_000);
  await runDurableObjectAlarm(stub);
  vi.restoreAllMocks();
  expect(await tables()).toEqual([]);
  await service.end([end("clean", "b")]);
  expect(await service.find("clean", "b")).toMatchObject({ output: "of b" });
});
