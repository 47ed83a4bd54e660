import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, it } from "vitest";
import { logDestination } from "./log-destination.ts";

it.runIf(existsSync("/dev/full"))("goes on when the disk is full", () => {
  const full = openSync("/dev/full", "w");
  const log = pino(logDestination(full));
  for (let line = 0; line < 100; line += 1) log.info({ line }, "x".repeat(50_000));
  closeSync(full);
});

it("writes a line at once", () => {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-log-"));
  const file = openSync(join(dir, "log"), "w");
  pino(logDestination(file)).info("written");
  expect(readFileSync(join(dir, "log"), "utf8")).toContain('"msg":"written"');
  closeSync(file);
  rmSync(dir, { recursive: true });
});
