/**
 * What a move is told of a log whose users have each right but one. The log is made up; a real one is in
 * test/conformance/bridge.
 */
import { afterEach, expect, test, vi } from "vitest";
import { probeLog } from "./probe.ts";

type User = { password: string; produce: string[]; consume: string[]; groups: string[] };

const edge: User = { password: "edge-password", produce: ["jobs.", "results"], consume: [], groups: [] };
const pool: User = { password: "pool-password", produce: [], consume: ["jobs."], groups: ["lane."] };
const lanes = ["default", "fast"];
const asked: string[] = [];

afterEach(() => {
  vi.unstubAllGlobals();
  asked.length = 0;
});

/** Answers as a log does that has these users: rights first, then what can't be. */
function logWith(users: Record<string, User>, without: string[] = []): void {
  const refuse = (status: number, error: string) => Response.json({ error, status }, { status });
  vi.stubGlobal("fetch", async (address: string, init: { headers: { authorization: string }; body?: string }) => {
    const [name = "", password] = atob(init.headers.authorization.slice("Basic ".length)).split(":");
    const [path = "", group = ""] = new URL(address).pathname.replace("/kafka/", "").split("/");
    asked.push(`${name} ${path}`);
    const user = users[name];
    if (user === undefined || user.password !== password) return refuse(401, "no such user");
    const body = JSON.parse(init.body ?? "[]") as { topicPartitionOffsets?: { topic: string }[] } | { topic: string }[];
    const topics = (Array.isArray(body) ? body : (body.topicPartitionOffsets ?? [])).map(({ topic }) => topic);
    const rights = { produce: user.produce, offsets: [...user.produce, ...user.consume] }[path] ?? user.consume;
    const foreign = topics.find((topic) => !rights.some((prefix) => topic.startsWith(prefix)));
    if (foreign !== undefined) return refuse(403, `no right to ${path} ${foreign}`);
    if (path === "committed" && !user.groups.some((prefix) => group.startsWith(prefix)))
      return refuse(403, `no right to the group ${group}`);
    const missing = topics.find((topic) => without.includes(topic));
    if (missing !== undefined) return refuse(404, `no topic ${missing}`);
    if (path === "produce") return refuse(404, "no partition");
    return path === "fetch" ? refuse(400, "no such offset") : Response.json({});
  });
}

const probe = async (poolPassword: string | null = pool.password) =>
  probeLog(
    {
      driver: "upstash",
      url: "https://bridge.test/kafka",
      producer: { username: "edge", password: edge.password },
      pool: poolPassword === null ? null : { username: "pool", password: poolPassword },
    },
    lanes,
    ["results"],
  );

test("nothing is wrong where both users have their rights, and both were asked", async () => {
  logWith({ edge, pool });
  expect(await probe()).toBeNull();
  expect(asked).toEqual([
    ...["edge topics", "edge offsets", "edge produce"],
    ...["pool committed", "pool committed", "pool fetch"],
  ]);
});

test.each<[string, Record<string, User>, string, RegExp]>([
  ["the edge's password", { edge: { ...edge, password: "x" }, pool }, "password", /does not know the user "edge"/],
  ["the edge's right", { edge: { ...edge, produce: ["results"] }, pool }, "username", /"edge" lacks a right: .*jobs\./],
  [
    "a published topic's",
    { edge: { ...edge, produce: ["jobs."] }, pool },
    "username",
    /"edge" lacks a right: .*results/,
  ],
  ["no pool user", { edge }, "pool.password", /does not know the pools' user "pool"/],
  ["the pools' password", { edge, pool: { ...pool, password: "x" } }, "pool.password", /the pools' user "pool"/],
  [
    "the pools' topics",
    { edge, pool: { ...pool, consume: [] } },
    "pool.username",
    /"pool" lacks a right: .*jobs\.default\./,
  ],
  ["one lane's topics", { edge, pool: { ...pool, consume: ["jobs.default."] } }, "pool.username", /jobs\.fast\./],
  ["the pools' groups", { edge, pool: { ...pool, groups: [] } }, "pool.username", /group lane\.default/],
  ["one lane's group", { edge, pool: { ...pool, groups: ["lane.d"] } }, "pool.username", /group lane\.fast/],
])("%s is missed", async (_what, users, field, message) => {
  logWith(users);
  expect(await probe()).toEqual({ field, message: expect.stringMatching(message) as unknown });
});

test("a topic that is missing is told, and pools with settings of their own are not asked for", async () => {
  logWith({ edge, pool }, ["jobs.fast.low"]);
  expect(await probe()).toEqual({ field: "topics", message: expect.stringMatching(/jobs\.fast\.low/) as unknown });
  logWith({ edge });
  expect(await probe(null)).toBeNull();
});
