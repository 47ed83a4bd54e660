/** `/pool/v1`: what GPU hosts call. They hold one token, and see nothing of tenants. */
import { Hono } from "hono";
import * as z from "zod";
import { ClaimReplySchema, ClaimRequestSchema, SESSION_HEADER } from "../../contract/claim.ts";
import { EventsReplySchema, EventsRequestSchema } from "../../contract/event.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { LogStateSchema } from "../../contract/log-state.ts";
import { ManifestSchema } from "../../contract/manifest.ts";
import { ConfigurationsSchema } from "../../contract/model-configuration.ts";
import { MAX_MODEL_SECRETS, ModelSecretsSchema } from "../../contract/model-secrets.ts";
import { objectNamed } from "../../object-calls.ts";
import { isFetchable } from "../../registry/bundles.ts";
import { readConfigurations } from "../../registry/model-configurations.ts";
import { readModelSecrets } from "../../registry/model-secrets.ts";
import { findVersion } from "../../registry/models.ts";
import { noteLogState } from "../../registry/pool-log-problems.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { decodeBody } from "../decode-body.ts";
import { empty, json, operation } from "../operation.ts";
import { VersionPathSchema } from "../parameters.ts";
import { requirePool } from "./authenticate.ts";
import { blobRoutes } from "./blobs.ts";
import { environmentRoutes } from "./environments.ts";
import { poolModelRoutes } from "./models.ts";
import { receiveEvents } from "./receive-events.ts";
import { poolUsageRoutes } from "./usage.ts";

/** What a call between objects may carry; a pool sends several requests if it has more. */
const MAX_EVENTS_BYTES = 30 * 1024 * 1024;
const MAX_CLAIMS_BYTES = 1024 * 1024;
const MAX_STATE_BYTES = 16 * 1024;
const SECRET_NAMES = new RegExp(`^[A-Z][A-Z0-9_]{0,63}(?:,[A-Z][A-Z0-9_]{0,63}){0,${MAX_MODEL_SECRETS - 1}}$`);
const SecretNamesSchema = z
  .string()
  .regex(SECRET_NAMES, `1 to ${MAX_MODEL_SECRETS} names of environment variables, by commas`)
  .transform((text) => text.split(","))
  .meta({ examples: ["HF_TOKEN"], override: { type: "string", pattern: SECRET_NAMES.source } });
const SESSION = /^[A-Za-z0-9_-]{8,64}$/;

/** Tells a pool's session who its pool is; set by the edge alone. */
export const POOL_IDENTITY_HEADER = "edgeplane-pool-identity";

export function poolRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();
  routes.use(async function poolOnly(c, next) {
    await requirePool(c);
    await next();
  });
  routes.use(decodeBody());

  routes.get(
    "/connect",
    operation(
      {
        id: "connectPool",
        tag: "Pools",
        summary: "Open the control channel",
        description:
          "A WebSocket. The session is named in the header, or in the query where a client can't set headers.",
        access: "pool",
        query: z.object({ session: z.string().optional() }),
        header: z.object({ [SESSION_HEADER]: z.string().optional() }),
        answers: { 101: empty("The channel is open.") },
      },
      (c, { query, header }) => connect(c, header[SESSION_HEADER] ?? query.session ?? ""),
    ),
  );

  routes.post(
    "/claims",
    operation(
      {
        id: "claimJobs",
        tag: "Pools",
        summary: "Ask for jobs",
        access: "pool",
        body: {
          schema: ClaimRequestSchema,
          maxBytes: MAX_CLAIMS_BYTES,
          examples: { none: { session: "session-1", jobs: [] } },
        },
        answers: { 200: json(ClaimReplySchema, "Each is granted, refused, or to be asked for later.") },
      },
      async (c, { body }) => c.json({ claims: await shard.claimJobs(c.env, body, { lanes: c.get("pool").lanes }) }),
    ),
  );

  routes.post(
    "/events",
    operation(
      {
        id: "reportEvents",
        tag: "Pools",
        summary: "Report progress and results",
        description: "Without events, or with `heartbeat`, it holds the lease. 30 MiB at most.",
        access: "pool",
        body: {
          schema: EventsRequestSchema,
          maxBytes: MAX_EVENTS_BYTES,
          loneSurrogates: "replaced",
          examples: { heartbeat: { session: "session-1", events: [] } },
        },
        answers: { 200: json(EventsReplySchema, "A verdict for each claim, and the claims to stop.") },
        errors: ["forbidden"],
      },
      async (c, { body }) => {
        if (c.env.DELIVERY === "kv") {
          const detail =
            "This edge takes events through its Redis only (`DELIVERY=kv`): start the pool with `--delivery kv`.";
          throw new EdgeplaneError("forbidden", detail);
        }
        return c.json(await receiveEvents(c.env, shard, body, c.get("pool")));
      },
    ),
  );

  routes.post(
    "/log-state",
    operation(
      {
        id: "reportLogState",
        tag: "Pools",
        summary: "Say whether a lane's log can be read",
        description: "For the operator, who sees it at `/admin/v1/log` for 15 minutes.",
        access: "pool",
        body: {
          schema: LogStateSchema,
          maxBytes: MAX_STATE_BYTES,
          examples: { wrong: { pool: "gpu-1", lane: "default", problem: "the log does not know this user" } },
        },
        answers: { 204: empty("Noted.") },
        errors: ["forbidden"],
      },
      async (c, { body }) => {
        const { lanes, poolTokenId } = c.get("pool");
        if (!lanes.includes(body.lane))
          throw new EdgeplaneError("forbidden", `The pool token has no right to the lane ${body.lane}.`);
        await noteLogState(c.env.DB, poolTokenId, body);
        return c.body(null, 204);
      },
    ),
  );

  routes.get(
    "/models/:owner/:name/versions/:version",
    operation(
      {
        id: "getManifest",
        tag: "Pools",
        summary: "Read a version's manifest",
        access: "pool",
        path: VersionPathSchema,
        answers: { 200: json(ManifestSchema, "The manifest.") },
      },
      async (c, { path: { owner, name, version } }) => {
        const found = await findVersion(c.env.DB, null, { owner, name }, version);
        if (found === null || !c.get("pool").lanes.includes(found.manifest.lane)) {
          throw new EdgeplaneError("not_found", "There is no such version on this token's lanes.");
        }
        return c.json(found.manifest);
      },
    ),
  );

  routes.get(
    "/models/:owner/:name/versions/:version/secrets",
    operation(
      {
        id: "getModelSecrets",
        tag: "Pools",
        summary: "Read the secrets that a model needs",
        description: "Those of `names` that are set, for a pool whose token has the model's owner and its lane.",
        access: "pool",
        path: VersionPathSchema,
        query: z.object({ names: SecretNamesSchema }),
        answers: { 200: json(ModelSecretsSchema, "A value by each name.") },
      },
      async (c, { path: { owner, name, version }, query }) => {
        const { lanes, owners } = c.get("pool");
        const found = owners.includes(owner) ? await findVersion(c.env.DB, null, { owner, name }, version) : null;
        const isServed = found !== null && lanes.includes(found.manifest.lane);
        // One that was deleted runs what was accepted before.
        const isKept =
          !isServed && owners.includes(owner) && (await isFetchable(c.env.DB, { owner, name, version }, lanes));
        if (!isServed && !isKept) {
          throw new EdgeplaneError("not_found", "There is no such version of this token's owners on its lanes.");
        }
        return c.json({ secrets: await readModelSecrets(c.env, { owner, name }, query.names) });
      },
    ),
  );

  routes.get(
    "/configurations",
    operation(
      {
        id: "getConfigurations",
        tag: "Pools",
        summary: "Read how models run, in place of what their files say",
        description: "Of the owners that the token may register.",
        access: "pool",
        answers: {
          200: json(ConfigurationsSchema, "Of the models that have any, and of versions that deployments say more of."),
        },
      },
      async (c) => c.json(await readConfigurations(c.env.DB, c.get("pool").owners)),
    ),
  );

  routes.route("/models", poolModelRoutes());
  routes.route("/environments", environmentRoutes());
  routes.route("/blobs", blobRoutes(shard));
  routes.route("/usage", poolUsageRoutes());
  return routes;
}

/** Hands the request to the session's object, which answers the handshake. */
function connect(c: AppContext, session: string): Promise<Response> {
  if (c.req.header("upgrade")?.toLowerCase() !== "websocket") {
    throw new EdgeplaneError("invalid_request", "`/pool/v1/connect` is a WebSocket: send `Upgrade: websocket`.");
  }
  if (!SESSION.test(session)) {
    const form = "8 to 64 letters, digits, `_` and `-`";
    throw new EdgeplaneError("invalid_request", `Name the session in \`${SESSION_HEADER}\`: ${form}.`);
  }
  const headers = new Headers(c.req.raw.headers);
  headers.set(SESSION_HEADER, session);
  headers.set(POOL_IDENTITY_HEADER, JSON.stringify(c.get("pool")));
  headers.delete("authorization");
  return objectNamed(c.env.POOL, session).fetch(new Request(c.req.raw, { headers }));
}
