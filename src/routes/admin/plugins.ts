/** `/admin/v1/plugins`: plugins that the operator uploads, a version each time. Settings switch them on. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { ManifestSchema, MAX_MODULE_BYTES, PluginHashSchema, PluginNameSchema } from "../../sandbox/manifest.ts";
import { probeUpload } from "../../sandbox/probe.ts";
import { findUpload, listUploads, readUpload, removeUpload, storeUpload } from "../../sandbox/uploads.ts";
import type { UploadRow } from "../../sandbox/uploads.ts";
import { readSettings } from "../../settings/publish.ts";
import type { App } from "../app.ts";
import { empty, json, operation } from "../operation.ts";

/** JSON escapes at most double what sources are made of; a manifest may have 64 KiB of schema. */
const MAX_BODY_BYTES = 2 * MAX_MODULE_BYTES + 256 * 1024;

const NewUploadSchema = z.strictObject({
  manifest: ManifestSchema,
  module: z
    .string()
    .min(1)
    .refine((code) => new TextEncoder().encode(code).length <= MAX_MODULE_BYTES, {
      error: `at most ${MAX_MODULE_BYTES} bytes`,
    })
    .meta({ description: "The source of one ES module, whose default export has `setup(context)`." }),
});
const UploadSchema = z.object({
  name: z.string(),
  version: PluginHashSchema.meta({ description: "SHA-256 of manifest and module: what settings pin." }),
  manifest: ManifestSchema,
  bytes: z.number(),
  created_at: z.string(),
});
const UploadsSchema = z.object({ results: z.array(UploadSchema) });
const PathSchema = z.object({ version: PluginHashSchema });

export function pluginRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.post(
    "/",
    operation(
      {
        id: "uploadPlugin",
        tag: "Operator",
        summary: "Upload a version of a plugin",
        description:
          "It is loaded once to see that it can be, and is off until settings name its version. The same manifest and module are the same version.",
        access: "operator",
        body: { schema: NewUploadSchema, maxBytes: MAX_BODY_BYTES },
        answers: {
          200: json(UploadSchema, "That version was there already."),
          201: json(UploadSchema, "The version."),
        },
        errors: ["plugin_invalid", "plugins_unavailable", "quota_exceeded"],
      },
      async (c, { body }) => {
        await probeUpload(c.env, body.manifest, body.module);
        const { row, isNew } = await storeUpload(c.env, body.manifest, body.module);
        return c.json(show(row), isNew ? 201 : 200);
      },
    ),
  );

  routes.get(
    "/",
    operation(
      {
        id: "listPlugins",
        tag: "Operator",
        summary: "List the uploaded versions of plugins",
        access: "operator",
        query: z.object({ name: PluginNameSchema.optional() }),
        answers: { 200: json(UploadsSchema, "The newest first.") },
      },
      async (c, { query }) => c.json({ results: (await listUploads(c.env.DB, query.name)).map(show) }),
    ),
  );

  routes.get(
    "/:version",
    operation(
      {
        id: "getPlugin",
        tag: "Operator",
        summary: "Read an uploaded version of a plugin",
        access: "operator",
        path: PathSchema,
        answers: { 200: json(UploadSchema.extend({ module: z.string() }), "The version, with its module.") },
      },
      async (c, { path }) => {
        const row = await findUpload(c.env.DB, path.version);
        if (row === null) throw absent();
        return c.json({ ...show(row), module: (await readUpload(c.env, path.version)).code });
      },
    ),
  );

  routes.delete(
    "/:version",
    operation(
      {
        id: "removePlugin",
        tag: "Operator",
        summary: "Remove an uploaded version of a plugin",
        description: "Not while the settings that hold name it.",
        access: "operator",
        path: PathSchema,
        answers: { 204: empty("It is removed.") },
        errors: ["conflict"],
      },
      async (c, { path }) => {
        const { numbered } = await readSettings(c.env, null);
        const user = Object.entries(numbered.settings.uploads).find(([, { version }]) => version === path.version)?.[0];
        if (user !== undefined) {
          const detail = `The settings that hold (number ${numbered.number}) pin it as "${user}": publish others first.`;
          throw new EdgeplaneError("conflict", detail);
        }
        if (!(await removeUpload(c.env, path.version))) throw absent();
        return c.body(null, 204);
      },
    ),
  );

  return routes;
}

function show({ hash, name, manifest, bytes, createdAt }: UploadRow): z.output<typeof UploadSchema> {
  return { name, version: hash, manifest, bytes, created_at: new Date(createdAt).toISOString() };
}

function absent(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such version of an uploaded plugin.");
}
