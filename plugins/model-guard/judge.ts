/** Asks the guard's model, and remembers what it said. */
import { modelPath } from "../../src/contract/manifest.ts";
import type { Json } from "../../src/contract/prediction.ts";
import { OpinionSchema } from "../kernel/opinions.ts";
import type { Opinion } from "../kernel/opinions.ts";
import type { Principal } from "../kernel/phases.ts";
import { sha256Hex } from "../kernel/secret.ts";
import type { AskedModel, Services } from "../kernel/services.ts";
import { createTtlCache } from "../kernel/ttl-cache.ts";
import { referenceOf } from "./config.ts";
import type { GuardConfig } from "./config.ts";

const CACHED_OPINIONS = 5000;
/** The judge asks about so many characters of inputs at a time: it hashes each, the shard stores each. */
const TURN_CHARS = 4 * 1024 * 1024;

/** `{"flagged": …, "categories": …}`. Throws for anything else, without what it says: it may quote the text. */
function opinionOf(answer: Json, { ref }: AskedModel): Opinion {
  const parsed = OpinionSchema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new Error(`the model ${modelPath(ref)} didn't answer {"flagged": true or false, "categories": [names]}`);
}

type GuardInput = { [key: string]: Json };
export type Guarded = Pick<Principal, "accountId" | "weight">;
export type GuardJudge = {
  /** Throws when there is no such model now. */
  model(): Promise<AskedModel>;
  /** One opinion an input of the guard's. Throws when one can't be had. */
  opinions(model: AskedModel, inputs: readonly GuardInput[], guarded: Guarded): Promise<Opinion[]>;
};

/** `name`: the plugin that asks. */
export function createJudge(
  name: string,
  config: GuardConfig,
  { models, accounts }: Pick<Services, "models" | "accounts">,
): GuardJudge {
  const cache = createTtlCache<Opinion>(CACHED_OPINIONS);

  async function payerOf({ accountId }: Guarded): Promise<string> {
    if (config.account === undefined) return accountId;
    const account = await accounts.find(config.account);
    if (account === null) throw new Error(`there is no account ${config.account} to pay for the guard`);
    return account.accountId;
  }

  return {
    async model() {
      const model = await models.find(referenceOf(config));
      if (model === null) throw new Error(`there is no model ${config.deployment ?? config.model}`);
      return model;
    },

    async opinions(model, inputs, guarded) {
      const payer = await payerOf(guarded);
      const ask = async (own: GuardInput): Promise<Opinion> => {
        const input = { ...config.input, ...own };
        const key = await sha256Hex(`${model.ref.version}\n${JSON.stringify(input)}`);
        const known = cache.get(key);
        if (known !== undefined) return known;
        const { timeoutMs, cacheMs } = config;
        const answer = await models.ask({ model, input, plugin: name, guarded, payer, timeoutMs });
        const opinion = opinionOf(answer, model);
        if (cacheMs > 0) cache.set(key, opinion, cacheMs);
        return opinion;
      };
      const opinions: Opinion[] = [];
      for (const turn of turnsOf(inputs)) opinions.push(...(await Promise.all(turn.map(ask))));
      return opinions;
    },
  };
}

/** In order; each holds at most `TURN_CHARS`, or one input. */
function turnsOf(inputs: readonly GuardInput[]): GuardInput[][] {
  const turns: GuardInput[][] = [];
  let chars = Infinity;
  for (const input of inputs) {
    const more = Object.values(input).reduce<number>(
      (sum, value) => sum + (typeof value === "string" ? value.length : 0),
      0,
    );
    if (chars + more > TURN_CHARS) {
      turns.push([]);
      chars = 0;
    }
    turns.at(-1)?.push(input);
    chars += more;
  }
  return turns;
}
