import { expect, test } from "vitest";
import keeper from "./d1-migrate.ts";

test("who doesn't know the secret changes no table and starts no sweep", async () => {
  const done: string[] = [];
  const statement = {
    bind: () => statement,
    run: () => Promise.resolve(done.push("table")),
    all: () => Promise.resolve({ results: [] }),
  };
  const bindings = {
    DB: { prepare: () => statement, batch: () => Promise.resolve(done.push("statements")) },
    EDGE: { scheduled: () => Promise.resolve(done.push("sweep")) },
    SECRET: "secret",
  };
  const ask = async (path: string, authorization: string | null) => {
    const headers: Record<string, string> = authorization === null ? {} : { authorization };
    const body = JSON.stringify([{ name: "mine", statements: ["DROP TABLE accounts"] }]);
    const request = new Request(`http://keeper/${path}`, { method: "POST", headers, body });
    return (await keeper.fetch(request, bindings)).status;
  };
  for (const path of ["migrate", "sweep"]) {
    for (const authorization of [null, "", "other"]) expect(await ask(path, authorization)).toBe(404);
  }
  expect(done).toEqual([]);
  expect([await ask("migrate", "secret"), await ask("sweep", "secret")]).toEqual([204, 204]);
  expect(done).toEqual(["table", "statements", "sweep"]);
});
