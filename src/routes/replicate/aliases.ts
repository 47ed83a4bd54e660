/** `/v1/models/{owner}/{name}/aliases`: names that the owner moves from version to version, and back. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { deleteAlias, listAliases, moveAlias, readAlias, rollBack } from "../../registry/aliases.ts";
import type { Alias } from "../../registry/aliases.ts";
import { aliasPointer, readCanary } from "../../registry/canaries.ts";
import type { ModelName } from "../../registry/known-models.ts";
import { AliasNameSchema, LATEST } from "../../registry/pointers.ts";
import type { App, AppContext } from "../app.ts";
import { nudgePools } from "../nudge-pools.ts";
import { empty, json, operation } from "../operation.ts";
import { ModelPathSchema } from "../parameters.ts";
import { beginCanary, CanarySchema, checkTried, finishCanary, NewCanarySchema, shownCanary } from "./canary-view.ts";
import { findTarget } from "./find-target.ts";
import { modelOf, ownModelOf } from "./model-path.ts";

const MAX_ALIAS_BYTES = 16 * 1024;

const AliasPathSchema = ModelPathSchema.extend({ alias: AliasNameSchema });

const MoveSchema = z.object({
  version: z.string(),
  since: z.iso.datetime(),
  undone_at: z.iso.datetime().nullable().meta({ description: "When it was rolled back; null: it wasn't." }),
});

const AliasSchema = z
  .object({
    alias: z.string(),
    version: z.string().meta({ description: "What it points to." }),
    moved_at: z.iso.datetime(),
    canary: CanarySchema.nullable().meta({
      description: "The version that some of its predictions get, or the last that some got. For the owner.",
    }),
    history: z.array(MoveSchema).meta({ description: "What it pointed to, the newest first: the last 20 moves." }),
  })
  .meta({ id: "Alias" });

const ListedAliasSchema = AliasSchema.omit({ canary: true }).meta({ id: "ListedAlias" });

const NewAliasSchema = z
  .object({
    version: z.string().min(1).max(64).optional().meta({
      description:
        "A version's 64 hexadecimal digits, or another alias, whose version of now is taken. Left out, it stays.",
    }),
    canary: NewCanarySchema.nullish().meta({
      description: "A version that some of its predictions get; null ends it. Pointed to another version, it ends too.",
    }),
  })
  .refine(({ version, canary }) => version !== undefined || canary !== undefined, {
    error: "is required, unless `canary` is given",
    path: ["version"],
  })
  .meta({ id: "NewAlias" });
type NewAlias = z.output<typeof NewAliasSchema>;

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
        answers: {
          200: json(z.object({ results: z.array(ListedAliasSchema) }), "All of them, without their canaries."),
        },
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
        summary: "Point a name of a model to a version, or split its predictions between two",
        description:
          "Makes the alias, or moves it; `latest` too. What was accepted before runs on with the version that it was given. Every isolate knows within 10 seconds: until then, some requests still get the version from before.",
        access: "models:write",
        path: AliasPathSchema,
        body: { schema: NewAliasSchema, maxBytes: MAX_ALIAS_BYTES },
        answers: { 200: json(AliasSchema, "The alias as it is now.") },
        errors: [
          "model_not_found",
          "forbidden",
          "version_not_found",
          "version_deleted",
          "version_pending",
          "quota_exceeded",
        ],
      },
      async (c, { path, body }) => {
        const model = await ownModelOf(c, path);
        await change(c, model, path.alias, body);
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
        description:
          "To the one that it pointed to before and that is still there; once more goes further back. Every isolate knows within 10 seconds.",
        access: "models:write",
        path: AliasPathSchema,
        answers: { 200: json(AliasSchema, "The alias as it is now.") },
        errors: ["model_not_found", "forbidden", "conflict"],
      },
      async (c, { path }) => {
        const model = await ownModelOf(c, path);
        await rollBack(c.env.DB, model, await aliasOf(c, path));
        await finishCanary(c.env, aliasPointer(model, path.alias), "aborted", "Its name was rolled back.");
        c.executionCtx.waitUntil(nudgePools(c.env, model, "models"));
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
        await finishCanary(c.env, aliasPointer(model, path.alias), "aborted", "Its name was deleted.");
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

/** The version first: a canary is one against it. */
async function change(c: AppContext, model: ModelName, alias: string, body: NewAlias): Promise<void> {
  const { DB } = c.env;
  const pointer = aliasPointer(model, alias);
  const find = async (version: string): Promise<string> =>
    (await findTarget(DB, c.get("principal"), { model, version })).manifest.version;
  const canary = body.canary ?? null;
  const tried = canary === null ? null : await find(canary.version);
  if (body.version !== undefined) {
    const version = await find(body.version);
    checkTried(tried, version);
    const running = await readCanary(DB, pointer);
    const isPromoted = running !== null && running.end === null && running.version === version;
    if (isPromoted) await finishCanary(c.env, pointer, "promoted", "Its version was promoted.");
    await moveAlias(DB, model, alias, version);
  }
  const base = (await readAlias(DB, model, alias))?.version;
  if (base === undefined) throw noSuchAlias();
  if (canary !== null && tried !== null)
    await beginCanary(
      c.env,
      { pointer, model: { owner: model.owner, name: model.name }, base, version: tried },
      canary,
    );
  else if (body.canary === null || body.version !== undefined)
    await finishCanary(c.env, pointer, "aborted", "It was ended by its owner.");
  c.executionCtx.waitUntil(nudgePools(c.env, model, "models"));
}

async function shown(c: AppContext, path: AliasPath): Promise<z.output<typeof AliasSchema>> {
  const { owner } = await modelOf(c, path);
  const alias = await aliasOf(c, path);
  const canary = isOwn(c, owner) ? await shownCanary(c.env, aliasPointer(path, path.alias), alias.version) : null;
  return { ...showAlias(c, owner, alias), canary };
}

function noSuchAlias(): EdgeplaneError {
  return new EdgeplaneError("not_found", "The model has no such alias.");
}

function isOwn(c: AppContext, owner: string): boolean {
  return c.get("principal").accountName === owner;
}

function showAlias(
  c: AppContext,
  owner: string,
  { alias, version, movedAt, moves }: Alias,
): Omit<z.output<typeof AliasSchema>, "canary"> {
  const history = isOwn(c, owner) ? moves : [];
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
