/**
 * `/v1/deployments`: an account's own names for versions of models.
 * https://replicate.com/docs/reference/http#deployments.list
 */
import { Hono } from "hono";
import * as z from "zod";
import type { Principal } from "../../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import { modelPath } from "../../contract/manifest.ts";
import { ModelConfigurationSchema, ownKeys, sharedOf } from "../../contract/model-configuration.ts";
import type { ModelConfiguration } from "../../contract/model-configuration.ts";
import type { Account } from "../../registry/accounts.ts";
import { deploymentPointer, readCanary } from "../../registry/canaries.ts";
import {
  createDeployment,
  deleteDeployment,
  DeploymentChangeSchema,
  findDeployment,
  forgetDeployment,
  listDeployments,
  NewDeploymentSchema,
  updateDeployment,
} from "../../registry/deployments.ts";
import type { Deployment } from "../../registry/deployments.ts";
import type { App, AppContext, ShardPort } from "../app.ts";
import { nudgePools } from "../nudge-pools.ts";
import { nudgeScaler } from "../nudge-scaler.ts";
import { empty, json, operation } from "../operation.ts";
import { forwardCursorOf } from "../parameters.ts";
import { AccountViewSchema, accountOf, showAccount } from "./account.ts";
import { beginCanary, CanarySchema, checkTried, finishCanary, NewCanarySchema, shownCanary } from "./canary-view.ts";
import { createOperation } from "./create-operation.ts";
import { createPrediction } from "./create.ts";
import { nextCursor } from "./cursor.ts";
import { findTarget, parseReference } from "./find-target.ts";
import { pageOf, pageSchema } from "./page.ts";

const PAGE_SIZE = 100;
const MAX_DEPLOYMENT_BYTES = 64 * 1024;

const DeploymentPathSchema = z.object({
  owner: z.string().meta({ description: "The account's name." }),
  name: z.string().meta({ description: "The deployment's name." }),
});

const DeploymentSchema = z
  .object({
    owner: z.string(),
    name: z.string(),
    current_release: z.object({
      number: z.int().min(1).meta({ description: "Counts from 1: every change is a new release." }),
      model: z.string(),
      version: z.string(),
      created_at: z.iso.datetime(),
      created_by: AccountViewSchema,
      configuration: z.object({ hardware: z.string(), min_instances: z.int(), max_instances: z.int() }),
      edgeplane: z
        .object({ configuration: ModelConfigurationSchema.nullable() })
        .meta({ description: "What holds in place of what the model's files and its own configuration say." }),
    }),
    canary: CanarySchema.nullable().meta({
      description: "The version that some of its predictions get, or the last that some got.",
    }),
  })
  .meta({ id: "Deployment" });
const ListedDeploymentSchema = DeploymentSchema.omit({ canary: true }).meta({ id: "ListedDeployment" });
const ChangeSchema = DeploymentChangeSchema.extend({
  canary: NewCanarySchema.nullish().meta({
    description: "A version that some of its predictions get; null ends it. Moved to another version, it ends too.",
  }),
}).meta({ id: "DeploymentChange" });

export function deploymentRoutes(shard: ShardPort): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "listDeployments",
        tag: "Deployments",
        summary: "List the account's deployments",
        access: "models:read",
        query: z.object({ cursor: forwardCursorOf(/^[a-z0-9][a-z0-9._-]{0,62}$/) }),
        answers: { 200: json(pageSchema(ListedDeploymentSchema), "A page of deployments, newest first.") },
      },
      async (c, { query }) => {
        const page = { after: query.cursor, limit: PAGE_SIZE + 1 };
        const found = await listDeployments(c.env.DB, c.get("principal").accountId, page);
        const next = nextCursor(found, PAGE_SIZE, ({ createdAt, name }) => ({ createdAt, id: name }));
        const account = await accountOf(c);
        const results = found.slice(0, PAGE_SIZE).map((deployment) => showDeployment(account, deployment));
        return c.json(pageOf(c.req.url, results, next, null));
      },
    ),
  );

  routes.post(
    "/",
    operation(
      {
        id: "createDeployment",
        tag: "Deployments",
        summary: "Make a deployment",
        access: "models:write",
        body: { schema: NewDeploymentSchema, maxBytes: MAX_DEPLOYMENT_BYTES },
        answers: { 201: json(DeploymentSchema, "The deployment with its first release.") },
        errors: [
          "already_exists",
          "conflict",
          "version_not_found",
          "version_deleted",
          "version_pending",
          "quota_exceeded",
        ],
      },
      async (c, { body }) => {
        const { model } = parseReference(body.model);
        const principal = c.get("principal");
        const { manifest } = await findTarget(c.env.DB, principal, { model, version: body.version });
        const deployment = await createDeployment(c.env, {
          accountId: principal.accountId,
          name: body.name,
          model: { owner: manifest.owner, name: manifest.name },
          version: manifest.version,
          hardware: body.hardware,
          minInstances: body.min_instances,
          maxInstances: body.max_instances,
          configuration: allowed(c, manifest.owner, body.configuration ?? null),
        });
        tellPools(c, deployment);
        // An old version that a deployment names is desired again.
        c.executionCtx.waitUntil(nudgePools(c.env, deployment.model, "models"));
        return c.json(await shown(c, deployment), 201);
      },
    ),
  );

  routes.get(
    "/:owner/:name",
    operation(
      {
        id: "getDeployment",
        tag: "Deployments",
        summary: "Read a deployment",
        access: "models:read",
        path: DeploymentPathSchema,
        answers: { 200: json(DeploymentSchema, "The deployment with its current release.") },
      },
      async (c, { path }) => c.json(await shown(c, await deploymentOf(c, path))),
    ),
  );

  routes.patch(
    "/:owner/:name",
    operation(
      {
        id: "updateDeployment",
        tag: "Deployments",
        summary: "Change a deployment",
        description:
          "Makes the next release, unless only `canary` is named. What was accepted before runs on with its version.",
        access: "models:write",
        path: DeploymentPathSchema,
        body: { schema: ChangeSchema, maxBytes: MAX_DEPLOYMENT_BYTES },
        answers: { 200: json(DeploymentSchema, "The deployment with its new release.") },
        errors: ["version_not_found", "version_deleted", "version_pending", "conflict"],
      },
      async (c, { path, body: { canary, ...change } }) => {
        forgetDeployment(c.get("principal").accountId, path.name);
        const before = await deploymentOf(c, path);
        const { accountId, name, model } = before;
        const find = async (named: string): Promise<string> =>
          (await findTarget(c.env.DB, c.get("principal"), { model, version: named })).manifest.version;
        const version = change.version === undefined ? undefined : await find(change.version);
        const tried = canary === undefined || canary === null ? null : await find(canary.version);
        checkTried(tried, version ?? before.version);
        allowed(c, model.owner, change.configuration ?? null);
        const isChanged = canary === undefined || Object.values(change).some((value) => value !== undefined);
        const changed = isChanged ? await updateDeployment(c.env.DB, accountId, name, { ...change, version }) : before;
        if (changed === null) throw noSuchDeployment();
        tellPools(c, before, changed);
        if (version !== undefined || tried !== null) c.executionCtx.waitUntil(nudgePools(c.env, model, "models"));
        const pointer = deploymentPointer(accountId, name);
        if (canary !== undefined && canary !== null && tried !== null)
          await beginCanary(c.env, { pointer, model, base: changed.version, version: tried }, canary);
        else if (canary === null || version !== undefined) await endBecause(c, pointer, version);
        return c.json(await shown(c, changed));
      },
    ),
  );

  routes.delete(
    "/:owner/:name",
    operation(
      {
        id: "deleteDeployment",
        tag: "Deployments",
        summary: "Delete a deployment",
        description: "What it accepted runs on.",
        access: "models:write",
        path: DeploymentPathSchema,
        answers: { 204: empty("It is gone.") },
      },
      async (c, { path }) => {
        const deployment = await deploymentOf(c, path);
        await deleteDeployment(c.env.DB, deployment.accountId, deployment.name);
        await endBecause(c, deploymentPointer(deployment.accountId, deployment.name), undefined);
        tellPools(c, deployment);
        return c.body(null, 204);
      },
    ),
  );

  routes.post(
    "/:owner/:name/predictions",
    operation(
      {
        ...createOperation,
        id: "createDeploymentPrediction",
        summary: "Run the version of a deployment's release",
        path: DeploymentPathSchema,
      },
      async (c, { path, body, header }) => {
        const { model, version, configuration } = await deploymentOf(c, path);
        return createPrediction(c, shard, {
          body,
          header,
          reference: { model, version },
          deployment: modelPath(path),
          configuration,
        });
      },
    ),
  );

  return routes;
}

function deploymentOf(c: AppContext, path: { owner: string; name: string }): Promise<Deployment> {
  return ownDeployment(c.env.DB, c.get("principal"), path);
}

/** The account's deployment of that name; others' are not there. Throws `not_found`. */
export async function ownDeployment(
  db: D1Database,
  { accountId, accountName }: Pick<Principal, "accountId" | "accountName">,
  path: { owner: string; name: string },
): Promise<Deployment> {
  const deployment = path.owner === accountName ? await findDeployment(db, accountId, path.name) : null;
  if (deployment !== null) return deployment;
  throw noSuchDeployment();
}

/** Throws `invalid_input` where it says what concerns others, and the model is another account's. */
function allowed(c: AppContext, owner: string, configuration: ModelConfiguration | null): ModelConfiguration | null {
  if (configuration === null || owner === c.get("principal").accountName) return configuration;
  const [key] = Object.keys(sharedOf(configuration));
  if (key === undefined) return configuration;
  const field = `configuration.${key}`;
  const description = `holds for all that run the version, so only a deployment of the model's owner (${owner}) may say it; yours may say ${ownKeys.join(", ")}`;
  throw new EdgeplaneError("invalid_input", `- ${field}: ${description}\n`, {
    invalidFields: [{ field, description }],
  });
}

/**
 * What a deployment says for its whole version concerns pools, and machines that it keeps concern the scaler: where any
 * of these does, they ask anew.
 */
function tellPools(c: AppContext, ...deployments: Deployment[]): void {
  if (deployments.some(({ minInstances }) => minInstances > 0)) c.executionCtx.waitUntil(nudgeScaler(c.env));
  const [first] = deployments.filter(({ configuration }) => Object.keys(sharedOf(configuration ?? {})).length > 0);
  if (first !== undefined) c.executionCtx.waitUntil(nudgePools(c.env, first.model, "configurations"));
}

function noSuchDeployment(): EdgeplaneError {
  return new EdgeplaneError("not_found", "There is no such deployment.");
}

/**
 * What ran beside the deployment's version ends: promoted, where it is the version that the deployment was moved to.
 */
async function endBecause(c: AppContext, pointer: string, movedTo: string | undefined): Promise<void> {
  const isPromoted = movedTo !== undefined && (await readCanary(c.env.DB, pointer))?.version === movedTo;
  if (isPromoted) await finishCanary(c.env, pointer, "promoted", "Its version was promoted.");
  else await finishCanary(c.env, pointer, "aborted", "It was ended by its owner.");
}

async function shown(c: AppContext, deployment: Deployment): Promise<z.output<typeof DeploymentSchema>> {
  const { accountId, name, version } = deployment;
  const canary = await shownCanary(c.env, deploymentPointer(accountId, name), version);
  return { ...showDeployment(await accountOf(c), deployment), canary };
}

function showDeployment(account: Account, deployment: Deployment): z.output<typeof ListedDeploymentSchema> {
  return {
    owner: account.name,
    name: deployment.name,
    current_release: {
      number: deployment.release,
      model: modelPath(deployment.model),
      version: deployment.version,
      created_at: new Date(deployment.releasedAt).toISOString(),
      created_by: showAccount(account),
      configuration: {
        hardware: deployment.hardware,
        min_instances: deployment.minInstances,
        max_instances: deployment.maxInstances,
      },
      edgeplane: { configuration: deployment.configuration },
    },
  };
}
