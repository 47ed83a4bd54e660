/**
 * Asks lanes what a prediction that came now would find, and remembers it for a moment, unless many were let in since:
 * a lane is asked again once a quarter of what it had room for has come through this isolate.
 */
import type { LaneOutlook, LaneService } from "../../plugins/kernel/services.ts";
import { createTtlCache } from "../../plugins/kernel/ttl-cache.ts";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import type { OutlookRef } from "./outlook.ts";
import { accountKey } from "./types.ts";

const REMEMBERED_MS = 500;
const MAX_REMEMBERED = 10_000;
/** What may be let in by one answer, as a part of what there was room for. */
const TRUSTED_PART = 1 / 4;

type Ask = (lane: string, ref: OutlookRef) => Promise<LaneOutlook>;

export function createLaneService(env: Pick<Env, "LANE">): LaneService {
  return createOutlooks((lane, ref) => callObject(async () => objectNamed(env.LANE, lane).outlook(ref)));
}

export function createOutlooks(ask: Ask): LaneService {
  const known = createTtlCache<{ outlook: LaneOutlook; letIn: number }>(MAX_REMEMBERED);

  return {
    async outlook({ lane, principal, priority, model }, room) {
      const { owner, name, version } = model;
      const ref: OutlookRef = { account: principal.accountId, priority, model: `${owner}/${name}`, version };
      const key = `${lane} ${accountKey(ref)}`;
      const remembered = known.get(key);
      if (remembered !== undefined && remembered.letIn < room(remembered.outlook) * TRUSTED_PART) {
        remembered.letIn += 1;
        return remembered.outlook;
      }
      // One that says that there is no room is good for its time, too.
      if (remembered !== undefined && room(remembered.outlook) <= 0) return remembered.outlook;
      const outlook = await ask(lane, ref);
      known.set(key, { outlook, letIn: 1 }, REMEMBERED_MS);
      return outlook;
    },
  };
}
