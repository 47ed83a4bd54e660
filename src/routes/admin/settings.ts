/** `/admin/v1/settings`: which plugins are on, and how; numbered, and never changed once published. */
import { Hono } from "hono";
import * as z from "zod";
import { phases } from "../../../plugins/kernel/phases.ts";
import type { ErrorCode } from "../../contract/errors.ts";
import { JsonSchema } from "../../contract/prediction.ts";
import { callObject } from "../../object-calls.ts";
import { asJson, diffOf } from "../../settings/diff.ts";
import { publishSettings, readSettings } from "../../settings/publish.ts";
import type { Published, PublishRequest } from "../../settings/publish.ts";
import { settingsObject } from "../../settings/remote.ts";
import { SettingsSchema } from "../../settings/schema.ts";
import type { NumberedSettings } from "../../settings/schema.ts";
import type { Publication } from "../../settings/store.ts";
import { pointersTo } from "../../settings/stored.ts";
import type { App, AppContext } from "../app.ts";
import { nudgeScaler } from "../nudge-scaler.ts";
import { json, operation } from "../operation.ts";
import { wholeNumber } from "../parameters.ts";
import { addSimulateRoute } from "./simulate.ts";

const MAX_SETTINGS_BYTES = 8 * 1024 * 1024;
const MAX_NUMBER = 999_999_999;
const DEFAULT_LIMIT = 100;
/** What settings are refused with, wherever they come from. */
const invalidSettings: ErrorCode[] = [
  "plugin_missing",
  "plugin_cycle",
  "plugin_invalid",
  "guard_model_unfit",
  "guard_cycle",
];

const NumberSchema = wholeNumber(0, MAX_NUMBER);
const reason = {
  why: z.string().trim().min(1).max(500).meta({ description: "For the list of what was published." }),
  by: z.string().trim().min(1).max(100).default("operator").meta({ description: "Who you are." }),
  dry_run: z.boolean().default(false).meta({ description: "Checks everything, and publishes nothing." }),
  expected_number: z
    .number()
    .int()
    .min(0)
    .optional()
    .meta({ description: "Refused with 409 unless this number holds now: nobody's settings are overwritten unseen." }),
};
const PublishSchema = z.strictObject({ settings: SettingsSchema, ...reason });
const RollbackSchema = z.strictObject({
  number: z.number().int().min(0).max(MAX_NUMBER).meta({ description: "Whose settings shall hold again." }),
  ...reason,
});

const PublicationSchema = z
  .object({
    number: z.number().int(),
    published_at: z.iso.datetime().nullable().meta({ description: "Null of number 0, which is built in." }),
    by: z.string().nullable(),
    why: z.string().nullable(),
    restores: z.number().int().nullable().meta({ description: "The earlier number whose settings these are again." }),
  })
  .meta({ id: "SettingsPublication" });
const NumberedSchema = PublicationSchema.extend({
  settings: SettingsSchema,
  ignored: z.array(z.string()).meta({
    description:
      "JSON pointers to what a later release stored and this one doesn't know: it acts as if it weren't there.",
  }),
}).meta({ id: "NumberedSettings" });
const ChangeSchema = z.object({
  path: z.string().meta({ description: "A JSON pointer." }),
  from: JsonSchema.meta({ description: "Null where it wasn't there." }),
  to: JsonSchema.meta({ description: "Null where it isn't there any more." }),
});
const PublishedSchema = z.object({
  number: z.number().int().nullable().meta({ description: "Null of a dry run." }),
  order: z.record(z.enum(phases), z.array(z.string())).meta({ description: "The plugins that run, by phase." }),
  changes: z.array(ChangeSchema).meta({ description: "What differs from what held before." }),
  carried: z.array(z.string()).meta({
    description: "JSON pointers to what a later release stored and this one doesn't know: it stays stored.",
  }),
  warnings: z.array(z.string()).meta({
    description: "What is allowed and may be an oversight: prices and plugins of models that nobody has offered yet.",
  }),
});

export function settingsRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "getSettings",
        tag: "Operator",
        summary: "Read the settings that hold",
        access: "operator",
        answers: { 200: json(NumberedSchema, "The settings.") },
      },
      async (c) => c.json(showNumbered(await readSettings(c.env, null))),
    ),
  );

  routes.post(
    "/",
    operation(
      {
        id: "publishSettings",
        tag: "Operator",
        summary: "Publish settings",
        description:
          "Everything is checked first: the schemas, the order, and each plugin is set up once. They hold everywhere within 5 seconds; requests under way keep theirs.",
        access: "operator",
        body: {
          schema: PublishSchema,
          maxBytes: MAX_SETTINGS_BYTES,
          examples: {
            defaults: { settings: { plugins: { "api-key": {} } }, why: "back to the defaults", dry_run: true },
          },
        },
        answers: {
          200: json(PublishedSchema, "What would be published."),
          201: json(PublishedSchema, "They are published."),
        },
        errors: ["conflict", ...invalidSettings],
      },
      async (c, { body }) => publish(c, body.settings, requestOf(body, null)),
    ),
  );

  routes.post(
    "/rollback",
    operation(
      {
        id: "rollBackSettings",
        tag: "Operator",
        summary: "Publish the settings of an earlier number again",
        description: "They are checked anew and get a number of their own.",
        access: "operator",
        body: {
          schema: RollbackSchema,
          maxBytes: MAX_SETTINGS_BYTES,
          examples: { first: { number: 0, why: "back to the defaults", dry_run: true } },
        },
        answers: {
          200: json(PublishedSchema, "What would be published."),
          201: json(PublishedSchema, "They are published."),
        },
        errors: ["not_found", "conflict", ...invalidSettings],
      },
      async (c, { body }) => {
        const { numbered } = await readSettings(c.env, body.number);
        return publish(c, numbered.settings, requestOf(body, body.number), numbered);
      },
    ),
  );

  addSimulateRoute(routes, MAX_SETTINGS_BYTES);

  routes.get(
    "/history",
    operation(
      {
        id: "listSettings",
        tag: "Operator",
        summary: "List what was published, by whom and why",
        access: "operator",
        query: z.object({
          before: NumberSchema.optional().meta({
            description: "Only numbers below this one: `next` of the page before.",
          }),
          limit: wholeNumber(1, 1000)
            .optional()
            .meta({ description: `How many at most; ${DEFAULT_LIMIT}.` }),
        }),
        answers: {
          200: json(
            z.object({ results: z.array(PublicationSchema), next: z.number().int().nullable() }),
            "A page, the newest first.",
          ),
        },
      },
      async (c, { query: { before = MAX_NUMBER, limit = DEFAULT_LIMIT } }) => {
        const found = await callObject(() => settingsObject(c.env).list(before, limit + 1));
        const page = found.slice(0, limit);
        const next = found.length > limit ? (page.at(-1)?.number ?? null) : null;
        return c.json({ results: page.map((one) => showPublication(one.number, one)), next });
      },
    ),
  );

  routes.get(
    "/diff",
    operation(
      {
        id: "diffSettings",
        tag: "Operator",
        summary: "Compare the settings of two numbers",
        access: "operator",
        query: z.object({
          from: NumberSchema,
          to: NumberSchema.optional().meta({ description: "Those that hold." }),
        }),
        answers: { 200: json(z.object({ changes: z.array(ChangeSchema) }), "What differs.") },
        errors: ["not_found"],
      },
      async (c, { query: { from, to = null } }) => {
        const [older, newer] = await Promise.all([readSettings(c.env, from), readSettings(c.env, to)]);
        return c.json({ changes: diffOf(asJson(older.numbered.settings), asJson(newer.numbered.settings)) });
      },
    ),
  );

  routes.get(
    "/numbers/:number",
    operation(
      {
        id: "getSettingsByNumber",
        tag: "Operator",
        summary: "Read the settings of a number",
        access: "operator",
        path: z.object({ number: NumberSchema.meta({ description: "0: what holds until anything is published." }) }),
        answers: { 200: json(NumberedSchema, "The settings.") },
      },
      async (c, { path: { number } }) => c.json(showNumbered(await readSettings(c.env, number))),
    ),
  );

  return routes;
}

async function publish(
  c: AppContext,
  settings: NumberedSettings["settings"],
  request: PublishRequest,
  restored: NumberedSettings | null = null,
) {
  const published = await publishSettings(c.env, settings, request, restored);
  if (!request.dryRun && published.changes.some(({ path }) => path === "" || path.startsWith("/scaling")))
    c.executionCtx.waitUntil(nudgeScaler(c.env));
  return c.json(showPublished(published), request.dryRun ? 200 : 201);
}

function requestOf(
  { by, why, dry_run, expected_number }: Omit<z.output<typeof PublishSchema>, "settings">,
  restores: number | null,
): PublishRequest {
  return { by, why, dryRun: dry_run, expected: expected_number ?? null, restores };
}

function showPublished({
  publication,
  order,
  changes,
  carried,
  warnings,
}: Published): z.output<typeof PublishedSchema> {
  return { number: publication?.number ?? null, order, changes, carried: pointersTo(carried), warnings };
}

function showNumbered(found: Awaited<ReturnType<typeof readSettings>>): z.output<typeof NumberedSchema> {
  const { numbered, publication } = found;
  return {
    ...showPublication(numbered.number, publication),
    settings: numbered.settings,
    ignored: pointersTo(numbered.ignored ?? []),
  };
}

function showPublication(number: number, publication: Publication | null): z.output<typeof PublicationSchema> {
  if (publication === null) return { number, published_at: null, by: null, why: null, restores: null };
  const { at, by, why, restores } = publication;
  return { number, published_at: new Date(at).toISOString(), by, why, restores };
}
