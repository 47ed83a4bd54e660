import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, describe, expect, test } from "vitest";
import { startMetadataService } from "../../test/metadata-service.ts";
import { systemClock } from "../system-clock.ts";
import { createAws } from "./aws.ts";
import { cloudNames } from "./clouds.ts";
import { timeToFinishMs } from "./notice.ts";
import type { Notice } from "./notice.ts";
import { PreemptionWatch } from "./watch.ts";
import type { PreemptionOptions } from "./watch.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-preemption-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A watch that has started, and the notices that it told. */
async function watching(cloud: PreemptionOptions["cloud"], url: string, file = join(folder, "none")) {
  const notices: Notice[] = [];
  const lines: string[] = [];
  const watch = new PreemptionWatch({
    clock: systemClock,
    log: pino({}, { write: (line: string) => void lines.push(line) }),
    cloud,
    metadataUrl: new URL(url),
    file,
    fileMs: 60_000,
    onNotice: (notice) => void notices.push(notice),
  });
  await watch.start();
  return { watch, notices, lines };
}

describe.each(cloudNames)("%s", (name) => {
  test("is found by itself, and its notice tells how long the host has, whatever the host's own clock says", async () => {
    await using service = await startMetadataService(name);
    service.aheadMs = 3_600_000;
    const { watch, notices } = await watching("auto", service.url);
    expect([watch.cloud, notices]).toEqual([name, []]);
    service.preempt(20_000);
    await expect.poll(() => notices).toHaveLength(1);
    const [notice] = notices;
    expect(notice?.why).toMatch(/AWS|Google|Azure/);
    const least = name === "gcp" ? 30_000 : 15_000;
    expect(notice?.withinMs).toBeGreaterThanOrEqual(least);
    expect(notice?.withinMs).toBeLessThanOrEqual(name === "gcp" ? 30_000 : 20_000);
    expect(watch.notice).toEqual(notice);
  });

  test("is not asked where another cloud's service answers", async () => {
    const other = name === "aws" ? "gcp" : "aws";
    await using service = await startMetadataService(other);
    const { watch, lines } = await watching(name, service.url);
    expect(watch.cloud).toBeNull();
    expect(lines.join()).toContain("no metadata service of this cloud answers");
  });
});

test("without a metadata service the pool says nothing, and with off it asks nobody", async () => {
  const nobody = await watching("auto", "http://127.0.0.1:9");
  expect([nobody.watch.cloud, nobody.lines]).toEqual([null, []]);
  await using service = await startMetadataService("aws");
  await watching("off", service.url);
  expect(service.asked).toEqual([]);
});

test("a file is a notice, of the seconds that it holds; one of an earlier life is none", async () => {
  const file = join(folder, "drain");
  writeFileSync(file, "1");
  utimesSync(file, 1, 1);
  const { notices } = await watching("off", "http://127.0.0.1:9", file);
  expect(existsSync(file)).toBe(false);
  writeFileSync(file, "5\n");
  await expect.poll(() => notices).toMatchObject([{ withinMs: 5000 }]);
  const empty = await watching("off", "http://127.0.0.1:9", join(folder, "empty"));
  writeFileSync(join(folder, "empty"), "");
  await expect.poll(() => empty.notices).toMatchObject([{ withinMs: 60_000 }]);
});

test("a file that was made while the pool started, which may take a minute, is a notice", async () => {
  const file = join(folder, "early");
  writeFileSync(file, "9\n");
  const { notices } = await watching("off", "http://127.0.0.1:9", file);
  await expect.poll(() => notices).toMatchObject([{ withinMs: 9000 }]);
});

test("a file that can't be read is a notice all the same, and the log says what is wrong with it", async () => {
  const file = join(folder, "unreadable");
  const { notices, lines } = await watching("off", "http://127.0.0.1:9", file);
  // Nobody can read it, not even root.
  symlinkSync(file, file);
  await expect.poll(() => notices).toMatchObject([{ withinMs: 60_000, why: `${file} is there` }]);
  expect(lines.join()).toMatch(/ELOOP.*the drain file can't be read/);
});

test("where it can't be seen whether a file is there the log says so, once, and a later one counts", async () => {
  const place = join(folder, "loop");
  symlinkSync(place, place);
  const { notices, lines } = await watching("off", "http://127.0.0.1:9", join(place, "drain"));
  const said = (): string[] => lines.filter((line) => line.includes("can't be seen"));
  await expect.poll(said).toHaveLength(1);
  rmSync(place);
  mkdirSync(place);
  writeFileSync(join(place, "drain"), "7");
  await expect.poll(() => notices).toMatchObject([{ withinMs: 7000 }]);
  expect(said()).toHaveLength(1);
});

test("a folder in the drain file's place is told at start, and ends nobody", async () => {
  const file = join(folder, "folder");
  mkdirSync(file);
  const { notices, lines } = await watching("off", "http://127.0.0.1:9", file);
  expect(lines.join()).toContain("no file starts a drain");
  expect(notices).toEqual([]);
});

test("an answer of AWS that is neither a notice nor none is a fault, and so is a token that it doesn't give", async () => {
  const look = async (tokenStatus: number, status: number) =>
    createAws(async (method) => ({
      status: method === "PUT" ? tokenStatus : status,
      text: "token",
      headers: {},
      dateMs: null,
    })).look();
  expect(await look(200, 404)).toBeNull();
  await expect(look(200, 500)).rejects.toThrow("answered 500");
  await expect(look(403, 404)).rejects.toThrow("no token");
});

test("some of the time is kept for handing back what did not finish", () => {
  expect([120_000, 30_000, 5000, 1000, 0].map(timeToFinishMs)).toEqual([115_000, 25_000, 4000, 0, 0]);
});
