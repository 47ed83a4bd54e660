import { expect, it } from "vitest";
import { memorySql } from "../../test/unit/memory-sql.ts";
import { submission } from "../../test/unit/submission.ts";
import { coldStartOf } from "../contract/cold-start.ts";
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

it("says of one that a pool has, and whose instance is not ready, what that needs, and of others that they start", () => {
  const { mine, reply, views } = setUp();
  const told = reply({});
  const [model] = told.view.models;
  const placeIf = (more: Partial<ModelView>, status: PredictionSnapshot["status"] = "starting") => {
    const models = model === undefined ? [] : [{ ...model, inFlight: 1, ...more }];
    views.note("default", { ...told, view: { ...told.view, models } }, []);
    return views.placeOf({ ...mine, status }, false);
  };
  expect(placeIf({})).toMatchObject({ position: 0, etaMs: 0 });
  expect(placeIf({ readyInMs: 9000 })).toMatchObject({ position: 0, etaMs: 9000, estimate: { setupMs: 9000 } });
  expect(placeIf({ readyInMs: 9000 }, "processing")).toMatchObject({ position: 0, etaMs: 0 });
  expect(placeIf({ readyInMs: null })).toMatchObject({ position: 0, etaMs: null });
  const cold = coldStartOf(0, 4000, 1000);
  expect(placeIf({ readyInMs: null, coldStart: cold })).toMatchObject({ etaMs: 3000, estimate: { mostMs: 12_000 } });
  // Its machine is there, and its set-up was never seen.
  expect(placeIf({ readyInMs: null, coldStart: coldStartOf(0, null, 0) }).etaMs).toBeNull();
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
