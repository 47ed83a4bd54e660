/**
 * An upgrade from an older release, whose protocol is no longer spoken: its state folder opens, and everything in it
 * finishes. Its pools are refused, and what they run still settles.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { startStack } from "../../../scripts/lib/stack.ts";
import type { Stack } from "../../../scripts/lib/stack.ts";
import { SESSION_HEADER } from "../../../src/contract/claim.ts";
import { openOldState } from "./old-state.ts";
import type { OldState } from "./old-state.ts";

const WAITING = 10_000;
const FINISH_MS = 240_000;

let dir: string;
let old: OldState;
let stack: Stack;

const start = (pool: boolean) =>
  startStack({
    ...{ stateDir: old.stateDir, models: old.models, pool, offline: true },
    poolEnv: {
      CHAOS_RUNS_FILE: join(dir, "runs"),
      EDGEPLANE_DRAIN_TIMEOUT_MS: "2000",
      EDGEPLANE_ISOLATION: "off",
    },
  });

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "edgeplane-upgrade-"));
  old = openOldState(dir, WAITING);
});

afterAll(async () => {
  await stack?.stop();
  rmSync(dir, { recursive: true, force: true });
});

describe("a state folder of the release before", () => {
  it("takes the results of its pool, which it refuses with what to do", { timeout: 60_000 }, async () => {
    stack = await start(false);
    const claim = old.claims.find(({ state }) => state === "running");
    if (claim === undefined) throw new Error("nothing was running");
    expect(await refusalOf(stack, claim.session)).toEqual([4400, expect.stringContaining("upgrade it")]);
    const { id, token, session, nextSeq: seq } = claim;
    const response = await fetch(`${stack.url}/pool/v1/events`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${stack.poolToken}`,
        "content-type": "application/json",
        [SESSION_HEADER]: session,
      },
      body: JSON.stringify({
        session,
        events: [{ id, token, seq, type: "succeeded", output: "done by the old pool" }],
      }),
    });
    expect(await response.json()).toMatchObject({ verdicts: [{ id, verdict: "ok" }] });
    expect(await viewOf(id)).toMatchObject({ status: "succeeded", output: "done by the old pool", attempt: 1 });
    await stack.stop();
  });

  it("finishes all that waited, was granted or ran", { timeout: FINISH_MS + 60_000 }, async () => {
    stack = await start(true);
    const startedAt = Date.now();
    const unfinished = () => Object.keys(old.states()).filter((state) => state !== "succeeded");
    await expect.poll(unfinished, { timeout: FINISH_MS, interval: 1000 }).toEqual([]);
    console.log(`upgrade │ ${WAITING} that waited finished within ${Date.now() - startedAt} ms`);
    const last = old.waiting.at(-1) ?? "";
    expect(await viewOf(last)).toMatchObject({
      status: "succeeded",
      output: `${last}:${(WAITING - 1) ** 2}`,
      attempt: 1,
    });
  });
});

async function viewOf(id: string): Promise<unknown> {
  const response = await fetch(`${stack.url}/v1/predictions/${id}`, {
    headers: { authorization: `Bearer ${stack.apiKey}` },
  });
  return response.json();
}

/** Says hello as a pool of that release does. Answers how the channel is closed. */
async function refusalOf({ url, poolToken }: Stack, session: string): Promise<[code: number, reason: string]> {
  const headers = { authorization: `Bearer ${poolToken}`, [SESSION_HEADER]: session };
  const socket = new WebSocket(`${url.replace("http", "ws")}/pool/v1/connect`, { headers });
  const closed = new Promise<[number, string]>((resolve, reject) => {
    socket.on("close", (code, reason) => resolve([code, reason.toString("utf8")]));
    socket.on("error", reject);
  });
  socket.on("open", () => {
    const facts = {
      pool: "old",
      version: "0.1.0",
      lanes: ["default"],
      devices: [],
      slots: 1,
      maxBatchSize: 8,
      models: [],
    };
    socket.send(JSON.stringify({ type: "hello", session, ...facts }));
  });
  return closed;
}
