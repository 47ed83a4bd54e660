/** Who is told that a model was pushed: the pools of its lanes, and those that might serve it as their first. */
import { expect, it } from "vitest";
import { admin, call, callJson, newKey } from "../../test/worker/edge-harness.ts";
import { push, SCHEMA } from "../../test/worker/pushing.ts";
import { PROTOCOL } from "../contract/channel.ts";
import { SESSION_HEADER } from "../contract/claim.ts";

/** A pool that comes with a token of its own and serves `lanes`. Answers the kinds of messages that it gets. */
async function arrives(session: string, token: object, lanes: string[]): Promise<string[]> {
  const { token: secret } = await admin("/pool-tokens", token);
  const headers = { upgrade: "websocket", [SESSION_HEADER]: session, authorization: `Bearer ${String(secret)}` };
  const { webSocket } = await call("/pool/v1/connect", { headers });
  if (webSocket === null) throw new Error("no socket came back");
  const heard: string[] = [];
  webSocket.addEventListener("message", ({ data }) => {
    const { type } = JSON.parse(String(data)) as { type: string };
    if (type !== "pong") heard.push(type);
  });
  webSocket.accept();
  const hello = {
    type: "hello",
    protocol: PROTOCOL,
    session,
    pool: session,
    version: "1",
    lanes,
    devices: [],
    models: [],
  };
  webSocket.send(JSON.stringify({ ...hello, hears: ["models"] }));
  await expect.poll(() => heard).toEqual(["welcome"]);
  return heard;
}

it("a push reaches a pool that has no model yet on its lane, if the pool's token has the owner and the lane", async () => {
  const key = await newKey("nudger");
  const ours = { owners: ["nudger"], lanes: ["default", "slow"] };
  const empty = await arrives("session-empty", ours, []);
  const busyElsewhere = await arrives("session-other-lane", ours, ["slow"]);
  const foreign = await arrives("session-foreign", { owners: ["somebody"], lanes: ["default"] }, []);
  const unfit = await arrives("session-unfit", { owners: ["nudger"], lanes: ["slow"] }, []);
  await push({ owner: "nudger", name: "first", key }, { a: "1" }, { manifest: { schema: SCHEMA } });
  for (const heard of [empty, busyElsewhere]) await expect.poll(() => heard).toEqual(["welcome", "models"]);
  for (const heard of [foreign, unfit]) expect(heard).toEqual(["welcome"]);
});

it("a deployment that names a version reaches the pools that may fetch it", async () => {
  const key = await newKey("nudge-deployer");
  const model = { owner: "nudge-deployer", name: "old", key };
  const { version } = await push(model, { a: "1" }, { manifest: { schema: SCHEMA } });
  const heard = await arrives("session-deployed", { owners: ["nudge-deployer"], lanes: ["default"] }, []);
  const body = {
    name: "kept",
    model: "nudge-deployer/old",
    version,
    hardware: "cpu",
    min_instances: 0,
    max_instances: 1,
  };
  expect((await callJson("/v1/deployments", { key, body })).status).toBe(201);
  await expect.poll(() => heard).toEqual(["welcome", "models"]);
});
