/** `/v1/models/{owner}/{name}/aliases`: names that the owner moves from version to version, and back. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { deleteAlias, listAliases, moveAlias, readAlias, rollBack } from "../../registry/aliases.ts";
import type { Alias } from "../../registry/aliases.ts";
import { AliasNameSchema, LATEST } from "../../registry/pointers.ts";
import type { App, AppContext } from "../app.ts";
import { empty, json, operation } from "../operation.ts";
import { ModelPathSchema } from "../parameters.ts";
import { findTarget } from "./find-target.ts";
import { modelOf, ownModelOf } from "./model-path.ts";

const MAX_ALIAS_BYTES = 16 * 1024;

const AliasPathSchema = ModelPathSchema.extend({ alias: AliasNameSchema });

const MoveSchema = z.object({
  version: z.string(),
  since: z.iso.datetime(),
  undone_at: z.iso.datetime().nullable().meta({ description: "When it was rolled back; null: it wasn't." }),
});

export const AliasSchema = z
  .object({
    alias: z.string(),
    version: z.string().meta({ description: "What it points to." }),
    moved_at: z.iso.datetime(),
    history: z.array(MoveSchema).meta({ description: "What it pointed to, the newest first: the last 20 moves." }),
  })
  .meta({ id: "Alias" });

export const NewAliasSchema = z
  .object({
    version: z.string().min(1).max(64).meta({
      description: "A version's 64 hexadecimal digits, or another alias, whose version of now is taken.",
    }),
  })
  .meta({ id: "NewAlias" });

export function aliasRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/:owner/:name/aliases",
    operation(
      {
        id: "listAliases",
        tag: "Models",
        summary: "List the names of a model's versions",
        description: "`latest` first. Only the owner sees what they pointed to before.",
        access: "models:read",
        path: ModelPathSchema,
        answers: { 200: json(z.object({ results: z.array(AliasSchema) }), "All of them.") },
        errors: ["model_not_found"],
      },
      async (c, { path }) => {
        const model = await modelOf(c, path);
        const aliases = await listAliases(c.env.DB, model);
        return c.json({ results: aliases.map((alias) => showAlias(c, model.owner, alias)) });
      },
    ),
  );

  routes.get(
    "/:owner/:name/aliases/:alias",
    operation(
      {
        id: "getAlias",
        tag: "Models",
        summary: "Read what a name of a model points to",
        access: "models:read",
        path: AliasPathSchema,
        answers: { 200: json(AliasSchema, "The alias.") },
        errors: ["model_not_found"],
      },
      async (c, { path }) => c.json(await shown(c, path)),
    ),
  );

  routes.put(
    "/:owner/:name/aliases/:alias",
    operation(
      {
        id: "putAlias",
        tag: "Models",
        summary: "Point a name of a model to a version",
        description:
          "Makes the alias, or moves it; `latest` too. What was accepted before runs on with the version that it was given.",
        access: "models:write",
        path: AliasPathSchema,
        body: { schema: NewAliasSchema, maxBytes: MAX_ALIAS_BYTES },
        answers: { 200: json(AliasSchema, "The alias as it is now.") },
        errors: ["model_not_found", "forbidden", "version_not_found", "quota_exceeded"],
      },
      async (c, { path, body }) => {
        const model = await ownModelOf(c, path);
        const { manifest } = await findTarget(c.env.DB, c.get("principal"), { model, version: body.version });
        await moveAlias(c.env.DB, model, path.alias, manifest.version);
        return c.json(await shown(c, path));
      },
    ),
  );

  routes.post(
    "/:owner/:name/aliases/:alias/rollback",
    operation(
      {
        id: "rollBackAlias",
        tag: "Models",
        summary: "Point a name of a model to the version before",
        description: "To the one that it pointed to before and that is still there; once more goes further back.",
        access: "models:write",
        path: AliasPathSchema,
        answers: { 200: json(AliasSchema, "The alias as it is now.") },
        errors: ["model_not_found", "forbidden", "conflict"],
      },
      async (c, { path }) => {
        await rollBack(c.env.DB, await ownModelOf(c, path), await aliasOf(c, path));
        return c.json(await shown(c, path));
      },
    ),
  );

  routes.delete(
    "/:owner/:name/aliases/:alias",
    operation(
      {
        id: "deleteAlias",
        tag: "Models",
        summary: "Take a name of a model away",
        description: "Its version stays, and so does what was accepted by the name. `latest` can't be taken away.",
        access: "models:write",
        path: AliasPathSchema,
        answers: { 204: empty("It is gone.") },
        errors: ["model_not_found", "forbidden", "conflict"],
      },
      async (c, { path }) => {
        const model = await ownModelOf(c, path);
        if (path.alias === LATEST)
          throw new EdgeplaneError("conflict", "`latest` belongs to the model: point it to another version instead.");
        if (!(await deleteAlias(c.env.DB, model, path.alias))) throw noSuchAlias();
        return c.body(null, 204);
      },
    ),
  );

  return routes;
}

type AliasPath = z.output<typeof AliasPathSchema>;

async function aliasOf(c: AppContext, { alias, ...model }: AliasPath): Promise<Alias> {
  const found = await readAlias(c.env.DB, model, alias);
  if (found === null) throw noSuchAlias();
  return found;
}

async function shown(c: AppContext, path: AliasPath): Promise<z.output<typeof AliasSchema>> {
  const { owner } = await modelOf(c, path);
  return showAlias(c, owner, await aliasOf(c, path));
}

function noSuchAlias(): EdgeplaneError {
  return new EdgeplaneError("not_found", "The model has no such alias.");
}

function showAlias(
  c: AppContext,
  owner: string,
  { alias, version, movedAt, moves }: Alias,
): z.output<typeof AliasSchema> {
  const isOwn = c.get("principal").accountName === owner;
  const history = isOwn ? moves : [];
  return {
    alias,
    version,
    moved_at: new Date(movedAt).toISOString(),
    history: history.map(({ version: id, at, undoneAt }) => ({
      version: id,
      since: new Date(at).toISOString(),
      undone_at: undoneAt === null ? null : new Date(undoneAt).toISOString(),
    })),
  };
}
