import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import type { PredictionSnapshot } from "../contract/prediction.ts";
import { modelPath } from "../contract/manifest.ts";
import type { ModelView, OfferReply } from "../lane/types.ts";
import { ShardCore } from "./core.ts";
import { createLaneViews, MAX_TICKETS } from "./lane-views.ts";
import { defaultRules } from "./rules.ts";

const ticket = (ownIndex: number) => ({ ownIndex, upTo: ownIndex });

/** A waiting prediction and what its lane says of it. */
function setUp() {
  const core = new ShardCore(memorySql(), { rules: defaultRules, now: () => 1000, newToken: () => "token" });
  core.submit(submission("mine"));
  const mine = core.snapshot("mine", null) as PredictionSnapshot;
  const { accountId: account, priority, model } = mine;
  const of = (value: number) => ({ high: value, normal: value, low: value });
  const view: ModelView = {
    model: modelPath(model),
    version: model.version,
    sessions: 1,
    waiting: of(0),
    curves: {
      high: [],
      normal: [
        [0, 0],
        [1e9, 1e9],
      ],
      low: [],
    },
    tags: of(0),
    startsPerSecond: 1,
    inFlight: 1,
    room: 0,
    readyInMs: 0,
    runMs: 1000,
  };
  const flow = `${account} ${priority} ${view.model} ${view.version}`;
  const served = { [flow]: { ownIndex: 0, upTo: 0, tag: 0, msPerCost: 1 } };
  const reply = (tickets: OfferReply["tickets"]) => ({ tickets, view: { models: [view], served } });
  return { mine, reply, views: createLaneViews(() => 1000) };
}

it("remembers a bounded number of tickets, says of a forgotten one that it doesn't know, and asks for it again", () => {
  const { mine, reply, views } = setUp();
  views.note("default", reply({ mine: ticket(7) }), []);
  expect(views.placeOf(mine, true).position).toBe(7);
  const others = Array.from({ length: MAX_TICKETS }, (_, index) => [`other-${index}`, ticket(index)] as const);
  views.note("default", reply(Object.fromEntries(others)), []);
  expect(views.placeOf(mine, true)).toEqual({ position: null, etaMs: null, ahead: null });
  views.wants(mine, 0);
  expect(views.takeTicketless("default")).toEqual(["mine"]);
  views.note("default", reply({ mine: ticket(5) }), []);
  expect(views.placeOf(mine, true).position).toBe(5);
});

it("keeps the ticket of a prediction that is asked about", () => {
  const { mine, reply, views } = setUp();
  views.note("default", reply({ mine: ticket(7) }), []);
  for (let round = 0; round < 3; round += 1) {
    const others = Array.from({ length: MAX_TICKETS / 2 }, (_, index) => [`${round}-${index}`, ticket(index)] as const);
    views.note("default", reply(Object.fromEntries(others)), []);
    expect(views.placeOf(mine, true).position).toBe(7);
  }
});
