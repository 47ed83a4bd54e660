/** Whether models can be guards: looked at when settings are published. */
import { EdgeplaneError } from "../../src/contract/errors.ts";
import { modelPath } from "../../src/contract/manifest.ts";
import type { CheckedEntry } from "../kernel/define-plugin.ts";
import type { AskedModel, Services } from "../kernel/services.ts";
import { referenceOf } from "./config.ts";
import type { GuardConfig } from "./config.ts";

type Entry = CheckedEntry<GuardConfig>;
type Found = { entry: Entry; model: AskedModel; path: string };

/** The lane of every model that names none. */
const SHARED_LANE = "default";
/** Of a lane's models, so many are named, beside the guards themselves. */
const MAX_NAMED = 3;

/** Throws `guard_model_unfit` and `guard_cycle`. */
export async function checkGuards(
  entries: readonly Entry[],
  services: Pick<Services, "models" | "accounts">,
): Promise<void> {
  const found: Found[] = [];
  for (const entry of entries) found.push(await lookedUp(entry, services));
  refuseCycles(found);
  const guards = new Set(found.map(({ path }) => path));
  for (const one of found) {
    refuseUnfit(one);
    await refuseShared(one, guards, services);
  }
}

async function lookedUp(entry: Entry, { models, accounts }: Pick<Services, "models" | "accounts">): Promise<Found> {
  const { model, deployment, account } = entry.config;
  const asked = await models.find(referenceOf(entry.config));
  if (asked === null) {
    const what = deployment === undefined ? `no model ${model}, or it has no version` : `no deployment ${deployment}`;
    throw unfit(entry, `there is ${what}: start a pool that serves it, or name another.`);
  }
  if (account !== undefined && (await accounts.find(account)) === null)
    throw unfit(entry, `there is no account ${account}, which \`account\` has pay for it.`);
  return { entry, model: asked, path: modelPath(asked.ref) };
}

function refuseUnfit({ entry, path, model: { minInstances, fields } }: Found): void {
  if (minInstances < 1) {
    const how =
      entry.config.deployment === undefined
        ? "set `pinned: true` under `edgeplane` in its cog.yaml, or name a `deployment` of it with a `min_instances` of 1 or more"
        : "set the deployment's `min_instances` to 1 or more, or `pinned: true` under `edgeplane` in the model's cog.yaml";
    throw unfit(entry, `no process of ${path} always stands by, so that everything would wait for one: ${how}.`);
  }
  const { textField, imageField } = entry.config;
  for (const [setting, field] of Object.entries({ textField, imageField })) {
    if (field === null || fields === null || fields.includes(field)) continue;
    throw unfit(
      entry,
      `the input of ${path} has no field "${field}": ${fields.length === 0 ? "it takes no input at all" : `set \`${setting}\` to one of ${fields.join(", ")}`}.`,
    );
  }
}

async function refuseShared(
  { entry, path, model }: Found,
  guards: ReadonlySet<string>,
  services: Pick<Services, "models">,
) {
  const remedy =
    'set `lane` under `edgeplane` in its cog.yaml to one that no other model has, such as "guards", and give the token of its pool that lane';
  if (model.lane === SHARED_LANE) {
    const detail = `${path} waits in the lane "${SHARED_LANE}", where all models do that name no other, behind what it guards`;
    throw unfit(entry, `${detail}: ${remedy}.`);
  }
  const beside = await services.models.onLane(model.lane, guards.size + MAX_NAMED);
  const others = beside.filter((other) => !guards.has(other)).slice(0, MAX_NAMED);
  if (others.length === 0) return;
  throw unfit(entry, `${path} waits in the lane "${model.lane}", and so does ${others.join(", ")}: ${remedy}.`);
}

/** Of what is set for single models: who guards a model, who guards that guard, and so on. */
function refuseCycles(found: readonly Found[]): void {
  const guardOf = new Map(found.flatMap(({ entry, path }) => (entry.model === null ? [] : [[entry.model, path]])));
  for (const first of guardOf.keys()) {
    const way = [first];
    for (let next = guardOf.get(first); next !== undefined && way.length <= guardOf.size; next = guardOf.get(next)) {
      way.push(next);
      if (next !== first) continue;
      const detail = `In \`models\`, model-guard has a model guard itself: ${way.join(", guarded by ")}.`;
      throw new EdgeplaneError("guard_cycle", detail);
    }
  }
}

function unfit({ account, model }: Entry, detail: string): EdgeplaneError {
  const where = account !== null ? ` for the account ${account}` : model !== null ? ` for the model ${model}` : "";
  return new EdgeplaneError("guard_model_unfit", `model-guard${where}: ${detail}`);
}
