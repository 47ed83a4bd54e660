import { expect, test } from "vitest";
import { checkCommand, CommandTable } from "./commands.ts";

const table = new CommandTable([["scan", -2, ["readonly"], 0, 0, 0]]);
const token = { token: "0123456789abcdef", keyPrefix: "app:", readOnly: false };
const check = (...command: string[]) => checkCommand(command, token, table, async () => []);

test("a SCAN within a prefix sees that prefix only, whatever it asks for", async () => {
  expect((await check("SCAN", "0")).args).toEqual(["0", "MATCH", "app:*"]);
  expect((await check("scan", "0", "COUNT", "9", "match", "app:x*")).args).toEqual([
    "0",
    "COUNT",
    "9",
    "match",
    "app:x*",
  ]);
  // The server obeys the last of several patterns.
  await expect(check("SCAN", "0", "MATCH", "app:*", "MATCH", "*")).rejects.toThrow("NOPERM");
  await expect(check("SCAN", "0", "MATCH", "*", "MATCH", "app:*")).rejects.toThrow("NOPERM");
  await expect(check("SCAN", "0", "TYPE", "match", "MATCH", "other:*")).rejects.toThrow("NOPERM");
});
