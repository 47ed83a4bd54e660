/** `/v1/search`: the models that a text finds. https://replicate.com/docs/reference/http#search */
import { Hono } from "hono";
import * as z from "zod";
import { listModels } from "../../registry/models.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { wholeNumber } from "../parameters.ts";
import { ModelSchema, showModel } from "./model-view.ts";

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 50;
const NEWEST = { key: "model_created_at", direction: "desc" } as const;

const NoneSchema = z.array(z.object({})).meta({ description: "Always empty here." });

const SearchSchema = z
  .object({
    query: z.string(),
    models: z.array(z.object({ model: ModelSchema, metadata: z.object({ tags: z.array(z.string()) }) })),
    collections: NoneSchema,
    pages: NoneSchema,
  })
  .meta({ id: "SearchResults" });

export function searchRoutes(): Hono<App> {
  const routes = new Hono<App>();
  routes.get(
    "/search",
    operation(
      {
        id: "search",
        tag: "Models",
        summary: "Search the models, in the form of Replicate's search",
        description: "The same models as `GET /v1/models?query=` finds, newest first.",
        access: "models:read",
        query: z.object({
          query: z.string().meta({ description: "What a model's owner, name or description has in it." }),
          limit: wholeNumber(1, MAX_LIMIT)
            .optional()
            .meta({ description: `How many at most; ${DEFAULT_LIMIT}.` }),
        }),
        answers: { 200: json(SearchSchema, "The models that were found.") },
      },
      async (c, { query: { query, limit = DEFAULT_LIMIT } }) => {
        const found = await listModels(c.env.DB, c.get("principal"), { after: null, limit, query, order: NEWEST });
        const { origin } = new URL(c.req.url);
        const models = found.map((model) => ({ model: showModel(model, origin), metadata: { tags: [] } }));
        return c.json({ query, models, collections: [], pages: [] });
      },
    ),
  );
  return routes;
}
