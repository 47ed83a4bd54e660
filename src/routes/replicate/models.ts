/** `/v1/models`: what can be run here. Models come from the pools that offer them. */
import { Hono } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import { findModel, findVersion, listModels, listVersions } from "../../registry/models.ts";
import type { Model, Version } from "../../registry/models.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { requireScope } from "../authenticate.ts";
import { readText } from "../body.ts";
import { createPrediction } from "./create.ts";
import { decodeCursor, forward, nextCursor } from "./cursor.ts";
import { pageOf } from "./page.ts";

const PAGE_SIZE = 25;
const MAX_QUERY_BYTES = 4096;
/** The Cog whose schemas ours are like; Replicate's Python client demands one. */
const COG_VERSION = "0.17.0";
/** Stands for the schema of a version that never loaded: clients demand a document. */
const UNKNOWN_SCHEMA = {
  openapi: "3.0.2",
  info: { title: "Cog", version: "0.1.0" },
  paths: {},
  components: { schemas: { Input: { title: "Input", type: "object" }, Output: { title: "Output" } } },
};

export function modelRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();
  const read = requireScope("models:read");

  routes.get("/", read, (c) => answerModels(c, c.req.query("query") ?? ""));

  routes.on("QUERY", "/", read, async (c) => answerModels(c, queryOf(await readText(c.req.raw, MAX_QUERY_BYTES))));

  routes.get("/:owner/:name", read, async (c) => c.json(showModel(await modelOf(c), new URL(c.req.url).origin)));

  routes.get("/:owner/:name/versions", read, async (c) => {
    const model = await modelOf(c);
    const after = forward(decodeCursor(c.req.query("cursor")));
    const found = await listVersions(c.env.DB, model, { after, limit: PAGE_SIZE + 1 });
    const page = found.slice(0, PAGE_SIZE);
    const next = nextCursor(found, PAGE_SIZE, (version) => ({
      createdAt: version.createdAt,
      id: version.manifest.version,
    }));
    return c.json(pageOf(c.req.url, page.map(showVersion), next, null));
  });

  routes.get("/:owner/:name/versions/:version", read, async (c) => {
    const { owner, name } = await modelOf(c);
    const version = await findVersion(c.env.DB, { owner, name }, c.req.param("version"));
    if (version === null) throw new EdgeplaneError("not_found", "The model has no such version.");
    return c.json(showVersion(version));
  });

  const write = requireScope("predictions:write");
  routes.post("/:owner/:name/predictions", write, (c) => {
    const model = { owner: c.req.param("owner"), name: c.req.param("name") };
    return createPrediction(c, shard, { reference: { model, version: null } });
  });
  routes.post("/:owner/:name/versions/:version/predictions", write, (c) => {
    const model = { owner: c.req.param("owner"), name: c.req.param("name") };
    return createPrediction(c, shard, { reference: { model, version: c.req.param("version") } });
  });

  return routes;
}

async function answerModels(c: AppContext, query: string): Promise<Response> {
  const after = forward(decodeCursor(c.req.query("cursor")));
  const found = await listModels(c.env.DB, { after, limit: PAGE_SIZE + 1, query });
  const page = found.slice(0, PAGE_SIZE);
  const next = nextCursor(found, PAGE_SIZE, (model) => ({
    createdAt: model.createdAt,
    id: `${model.owner}/${model.name}`,
  }));
  const { origin } = new URL(c.req.url);
  return c.json(
    pageOf(
      c.req.url,
      page.map((model) => showModel(model, origin)),
      next,
      null,
    ),
  );
}

async function modelOf(c: AppContext): Promise<Model> {
  const model = await findModel(c.env.DB, c.req.param("owner") ?? "", c.req.param("name") ?? "");
  if (model === null) throw new EdgeplaneError("model_not_found", "The model does not exist here.");
  return model;
}

function showModel(model: Model, origin: string) {
  return {
    url: `${origin}/v1/models/${model.owner}/${model.name}`,
    owner: model.owner,
    name: model.name,
    description: model.description,
    visibility: "public",
    is_official: false,
    github_url: null,
    paper_url: null,
    license_url: null,
    cover_image_url: null,
    run_count: 0,
    default_example: null,
    created_at: new Date(model.createdAt).toISOString(),
    latest_version: model.latest === null ? null : showVersion(model.latest),
  };
}

function showVersion({ manifest, createdAt }: Version) {
  return {
    id: manifest.version,
    created_at: new Date(createdAt).toISOString(),
    cog_version: COG_VERSION,
    openapi_schema: manifest.schema ?? UNKNOWN_SCHEMA,
    schema_known: manifest.schema !== null,
    lane: manifest.lane,
    max_batch_size: manifest.maxBatchSize,
    start_timeout_s: manifest.startTimeoutMs / 1000,
    timeout_s: manifest.totalTimeoutMs / 1000,
    streams: manifest.streams,
  };
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
