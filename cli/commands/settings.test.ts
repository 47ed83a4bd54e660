/** `settings`, and what `doctor` says of them, against a gateway that answers as this one and the release before do. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import * as z from "zod";
import { runCli } from "../test-io.ts";
import type { Ran } from "../test-io.ts";

/** What is answered, by method and path; anything else with 404. */
const answers = new Map<string, unknown>();
const bodies: string[] = [];
let server: Server;
let url = "";

beforeAll(async () => {
  server = createServer((request, response) => {
    void text(request).then((body) => {
      bodies.push(body);
      const answer = answers.get(`${request.method} ${new URL(request.url ?? "/", "http://gateway").pathname}`);
      response.writeHead(answer === undefined ? 404 : 200);
      return response.end(JSON.stringify(answer ?? { detail: "Nothing is here.", code: "not_found" }));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${z.object({ port: z.number() }).parse(server.address()).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  answers.clear();
  bodies.length = 0;
});

const cli = async (args: string[], stdin = ""): Promise<Ran> =>
  runCli(args, { env: { EDGEPLANE_URL: url, EDGEPLANE_ADMIN_KEY: "adm" }, stdin });

const held = { number: 4, settings: { plugins: {} } };
const later = { ...held, ignored: ["/scaling/horizon_s", "/regions"] };

test("a number that must hold is sent as the gateway takes it, and what stays stored is told", async () => {
  answers.set("POST /admin/v1/settings", {
    number: 5,
    order: {},
    changes: [],
    carried: ["/regions"],
    warnings: ["a price"],
  });
  const args = ["settings", "publish", "-", "--why", "a test", "--if-number", "4"];
  const { code, stderr } = await cli(args, '{"plugins":{}}');
  expect([code, JSON.parse(bodies[0] ?? "")]).toEqual([
    0,
    { settings: { plugins: {} }, why: "a test", dry_run: false, expected_number: 4 },
  ]);
  for (const part of ["/regions", "number 5", "within 5 seconds", "warning: a price"]) expect(stderr).toContain(part);
});

test.each<[string, object, boolean]>([
  ["of a gateway of the release before", held, false],
  ["that this release knows", { ...held, ignored: [] }, false],
  ["that a later release stored", later, true],
])("settings %s are shown, and doctor says what is ignored", async (_case, settings, isPartly) => {
  answers.set("GET /", { name: "edgeplane" }).set("GET /healthz", { status: "ok" }).set("GET /admin/v1/accounts", {});
  answers.set("GET /admin/v1/settings", settings);
  const shown = await cli(["settings", "show"]);
  expect([JSON.parse(shown.stdout), shown.stderr.includes("/regions")]).toEqual([held.settings, isPartly]);
  const { stdout } = await cli(["doctor"]);
  const line = stdout.split("\n").find((one) => one.includes("settings"));
  expect(line).toContain(isPartly ? "/scaling/horizon_s, /regions" : "✓ the settings are of this release: number 4");
});
