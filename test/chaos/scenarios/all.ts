/** Every scenario, in the order in which they run. */
import type { Scenario } from "../harness/scenario.ts";
import { channel } from "./channel.ts";
import { clock } from "./clock.ts";
import { edge } from "./edge.ts";
import { events } from "./events.ts";
import { hosts } from "./hosts.ts";
import { inputs } from "./inputs.ts";
import { kills } from "./kills.ts";
import { lane } from "./lane.ts";
import { pools } from "./pools.ts";
import { redis } from "./redis.ts";
import { webhooks } from "./webhooks.ts";

export const scenarios: readonly Scenario[] = [
  ...kills,
  ...inputs,
  ...pools,
  ...hosts,
  ...edge,
  ...lane,
  ...channel,
  ...events,
  ...redis,
  ...clock,
  ...webhooks,
];
