/** `/v1/models`: what can be run here. https://replicate.com/docs/reference/http#models.list */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import { ListedPredictionSchema } from "../../contract/present.ts";
import { readOwnersView } from "../../registry/bundles.ts";
import { listModels, listVersions, modelKeys, placeOfModel } from "../../registry/models.ts";
import { readReadme } from "../../registry/readmes.ts";
import { answerJson } from "../answer-json.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { readText } from "../body.ts";
import { json, operation } from "../operation.ts";
import { forwardCursorOf, ModelPathSchema, VersionPathSchema } from "../parameters.ts";
import { aliasRoutes } from "./aliases.ts";
import { createOperation } from "./create-operation.ts";
import { createPrediction } from "./create.ts";
import { nextCursor } from "./cursor.ts";
import { findNamed, referenceWithin } from "./find-target.ts";
import { changeRoutes } from "./model-changes.ts";
import { modelOf } from "./model-path.ts";
import { secretRoutes } from "./model-secrets.ts";
import { ModelSchema, showModel, showVersion, VersionSchema } from "./model-view.ts";
import { pageOf, pageSchema } from "./page.ts";
import { pushRoutes } from "./push.ts";
import { ruleRoutes } from "./routes.ts";

const PAGE_SIZE = 25;
const MAX_QUERY_BYTES = 4096;
const ListQuerySchema = z.object({
  cursor: forwardCursorOf(/\//),
  query: z.string().default("").meta({ description: "Only models whose owner, name or description has this in it." }),
  sort_by: z.enum(modelKeys).default("model_created_at"),
  sort_direction: z.enum(["asc", "desc"]).default("desc"),
});
type ListQuery = z.output<typeof ListQuerySchema>;

const listModelsOperation = {
  isLong: true,
  tag: "Models",
  access: "models:read",
  query: ListQuerySchema,
  answers: { 200: json(pageSchema(ModelSchema), "A page.") },
} as const;

export function modelRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        ...listModelsOperation,
        id: "listModels",
        summary: "List or search the models, newest first unless another order is asked for",
        description:
          "Public models, and the account's private ones. `QUERY /v1/models` with the text as its body is the same search, as Replicate has it.",
      },
      (c, { query }) => answerModels(c, query),
    ),
  );

  routes.on(
    "QUERY",
    "/",
    operation(
      { ...listModelsOperation, id: "searchModels", summary: "Search the models", errors: ["payload_too_large"] },
      async (c, { query }) => {
        const text = queryOf(await readText(c.req.raw, MAX_QUERY_BYTES));
        return answerModels(c, { ...query, query: text === "" ? query.query : text });
      },
    ),
  );

  routes.get(
    "/:owner/:name",
    operation(
      {
        id: "getModel",
        isLong: true,
        tag: "Models",
        summary: "Read a model, with its latest version",
        access: "models:read",
        path: ModelPathSchema,
        answers: { 200: json(ModelSchema, "The model.") },
        errors: ["model_not_found"],
      },
      async (c, { path }) => answerJson(c, showModel(await modelOf(c, path), new URL(c.req.url).origin)),
    ),
  );

  routes.get(
    "/:owner/:name/versions",
    operation(
      {
        id: "listVersions",
        isLong: true,
        tag: "Models",
        summary: "List a model's versions, newest first",
        access: "models:read",
        path: ModelPathSchema,
        query: z.object({ cursor: forwardCursorOf(/^[0-9a-f]{64}$/) }),
        answers: { 200: json(pageSchema(VersionSchema), "A page.") },
        errors: ["model_not_found"],
      },
      async (c, { path, query: { cursor } }) => {
        const model = await modelOf(c, path);
        const found = await listVersions(c.env.DB, model, { after: cursor, limit: PAGE_SIZE + 1 });
        const page = found.slice(0, PAGE_SIZE);
        const next = nextCursor(found, PAGE_SIZE, (version) => ({
          createdAt: version.createdAt,
          id: version.manifest.version,
        }));
        return answerJson(
          c,
          pageOf(
            c.req.url,
            page.map((version) => showVersion(version)),
            next,
            null,
          ),
        );
      },
    ),
  );

  routes.get(
    "/:owner/:name/versions/:version",
    operation(
      {
        id: "getVersion",
        isLong: true,
        tag: "Models",
        summary: "Read a version, or what an alias points to",
        access: "models:read",
        path: VersionPathSchema,
        answers: { 200: json(VersionSchema, "The version.") },
        errors: ["model_not_found", "version_deleted"],
      },
      async (c, { path }) => {
        const { owner, name } = await modelOf(c, path);
        const version = await findNamed(c.env.DB, c.get("principal"), { owner, name }, path.version);
        if (version === null) throw new EdgeplaneError("not_found", "The model has no such version.");
        const { problem = null, plugins = null } = version.bundle ?? {};
        const isOwn = owner === c.get("principal").accountName;
        const hasMore = isOwn && (problem !== null || plugins !== null);
        const owners = hasMore ? await readOwnersView(c.env.DB, version.manifest) : undefined;
        return answerJson(c, showVersion(version, owners));
      },
    ),
  );

  routes.post(
    "/:owner/:name/predictions",
    operation(
      {
        ...createOperation,
        id: "createModelPrediction",
        summary: "Run a model's latest version, or the one that `version` names",
        path: ModelPathSchema,
      },
      (c, { path, body, header }) =>
        createPrediction(c, shard, { body, header, reference: referenceWithin(path, body.version ?? null) }),
    ),
  );

  routes.post(
    "/:owner/:name/versions/:version/predictions",
    operation(
      {
        ...createOperation,
        id: "createVersionPrediction",
        summary: "Run one version of a model",
        path: VersionPathSchema,
      },
      (c, { path: { version, ...model }, body, header }) =>
        createPrediction(c, shard, { body, header, reference: { model, version } }),
    ),
  );

  routes.get(
    "/:owner/:name/examples",
    operation(
      {
        id: "listExamples",
        tag: "Models",
        summary: "List a model's examples",
        description: "None are kept here: the page is empty.",
        access: "models:read",
        path: ModelPathSchema,
        answers: { 200: json(pageSchema(ListedPredictionSchema), "An empty page.") },
        errors: ["model_not_found"],
      },
      async (c, { path }) => {
        await modelOf(c, path);
        return c.json(pageOf(c.req.url, [], null, null));
      },
    ),
  );

  routes.get(
    "/:owner/:name/readme",
    operation(
      {
        id: "getReadme",
        tag: "Models",
        summary: "Read a model's readme",
        access: "models:read",
        path: ModelPathSchema,
        answers: { 200: { description: "The readme.", content: { "text/markdown": { schema: z.string() } } } },
        errors: ["model_not_found"],
      },
      async (c, { path }) => {
        const readme = await readReadme(c.env, await modelOf(c, path));
        if (readme === null) throw new EdgeplaneError("not_found", "The model has no readme.");
        return c.body(readme, 200, {
          "content-type": "text/markdown; charset=utf-8",
          "x-content-type-options": "nosniff",
        });
      },
    ),
  );

  routes.route("/", changeRoutes());
  routes.route("/", secretRoutes());
  routes.route("/", aliasRoutes());
  routes.route("/", pushRoutes());
  routes.route("/", ruleRoutes());
  return routes;
}

async function answerModels(c: AppContext, { cursor: after, query, ...sort }: ListQuery): Promise<Response> {
  const order = { key: sort.sort_by, direction: sort.sort_direction };
  const found = await listModels(c.env.DB, c.get("principal"), { after, limit: PAGE_SIZE + 1, query, order });
  const page = found.slice(0, PAGE_SIZE);
  const next = nextCursor(found, PAGE_SIZE, (model) => ({
    createdAt: placeOfModel(model, order),
    id: `${model.owner}/${model.name}`,
  }));
  const { origin } = new URL(c.req.url);
  return answerJson(
    c,
    pageOf(
      searchUrl(c.req.url, query),
      page.map((model) => showModel(model, origin)),
      next,
      null,
    ),
  );
}

/**
 * What is searched for may have come in the body: the links to other pages, which are followed with GET, carry it in
 * the query.
 */
function searchUrl(requestUrl: string, query: string): string {
  const url = new URL(requestUrl);
  if (query !== "") url.searchParams.set("query", query);
  return url.href;
}

/** The client sends the text as it is, or (npm `replicate`) as a JSON string. */
function queryOf(text: string): string {
  if (!text.startsWith('"')) return text.trim();
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}
