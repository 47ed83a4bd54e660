import { createServer } from "node:http";
import { expect, test } from "vitest";
import { offeredModels } from "./offered.ts";

const MINE = "a".repeat(64);
const never = new Promise<never>(() => {});
const inFolder = (...names: string[]) => names.map((name) => ({ owner: "local", name, version: MINE }));

/** What the folder's models are found to be by an edge whose models have these latest versions. */
async function against(
  latest: Record<string, string>,
  models: Parameters<typeof offeredModels>[0]["models"],
  limitMs = 5000,
) {
  const server = createServer((request, reply) => {
    const id = latest[/models\/(.*)$/.exec(request.url ?? "")?.[1] ?? ""];
    reply.writeHead(id === undefined ? 404 : 200).end(JSON.stringify({ latest_version: { id } }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    return await offeredModels({ url: `http://127.0.0.1:${port}`, apiKey: "k", models }, () => {}, limitMs);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("all models of the folder are waited for, not those that an earlier start left in the list", async () => {
  const folder = { models: inFolder("new", "mine"), problems: [] };
  const latest: Record<string, string> = { "local/mine": "b".repeat(64) };
  const offered = Promise.withResolvers<typeof folder>();
  let isUp = false;
  const up = against(latest, { found: Promise.resolve(folder), offered: offered.promise }).finally(() => (isUp = true));
  // What asks this edge what it has is answered long before.
  await against(latest, { found: Promise.resolve(folder), offered: Promise.resolve(folder) });
  expect(isUp).toBe(false);
  Object.assign(latest, { "local/new": MINE, "local/mine": MINE });
  offered.resolve(folder);
  expect(await up).toEqual({ models: ["local/mine", "local/new"], warnings: [] });
});

test("a folder that is no model, a model that was deleted and an older version are told", async () => {
  const folder = {
    models: inFolder("kept", "deleted", "reverted"),
    problems: [{ folder: "broken", problem: "cog.yaml: run is missing" }],
  };
  const both = { found: Promise.resolve(folder), offered: Promise.resolve(folder) };
  const { warnings } = await against({ "local/kept": MINE, "local/reverted": "b".repeat(64) }, both);
  expect(warnings).toHaveLength(3);
  expect(warnings).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^broken is not served: cog\.yaml: run is missing/),
      expect.stringMatching(/^local\/deleted was deleted/),
      expect.stringMatching(/^local\/reverted runs a version that came later/),
    ]),
  );
});

test("a folder without a model, and a pool that offers nothing, end the start", async () => {
  const none = { models: [], problems: [] };
  const both = { found: Promise.resolve(none), offered: Promise.resolve(none) };
  await expect(against({}, both)).rejects.toThrow(/found no model/);
  const silent = { found: Promise.resolve({ ...none, models: inFolder("mine") }), offered: never };
  await expect(against({}, silent, 50)).rejects.toThrow(/did not offer its models within 0.05 s/);
});
