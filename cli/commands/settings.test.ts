/** `settings`, and what `doctor` says of them, against a gateway that answers as this one and the release before do. */
import { expect, test } from "vitest";
import { useGateway } from "../test-gateway.ts";
import { runCli } from "../test-io.ts";
import type { Ran } from "../test-io.ts";

const gateway = useGateway();
const { answers, asked } = gateway;

const cli = async (args: string[], stdin = ""): Promise<Ran> =>
  runCli(args, { env: { EDGEPLANE_URL: gateway.url, EDGEPLANE_ADMIN_KEY: "adm" }, stdin });

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
  expect([code, asked[0]?.body]).toEqual([
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
