/**
 * An edge and a pool of neighbouring releases understand each other: today's messages are held against the schemas of
 * the release before, and what these make of them (what that release says) against today's.
 */
import { beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { EdgeMessageSchema, PoolMessageSchema } from "../../../src/contract/channel.ts";
import { ClaimReplySchema, ClaimRequestSchema } from "../../../src/contract/claim.ts";
import { EventsReplySchema, EventsRequestSchema } from "../../../src/contract/event.ts";
import { JobSchema } from "../../../src/contract/job.ts";
import { ManifestSchema } from "../../../src/contract/manifest.ts";
import { ParkedOutcomeSchema } from "../../../src/contract/parked.ts";
import { releaseBefore } from "../../fixtures/release-before/open.ts";
import * as samples from "./samples.ts";
import { shapeOf } from "./shape.ts";

const today = {
  PoolMessageSchema,
  EdgeMessageSchema,
  ClaimRequestSchema,
  ClaimReplySchema,
  EventsRequestSchema,
  EventsReplySchema,
  ParkedOutcomeSchema,
  JobSchema,
  ManifestSchema,
} as const;
type Name = keyof typeof today;

/** Messages and words that only who hears them is sent, so that the release before never meets them. */
const ONLY_TO_WHO_HEARS: ReadonlySet<string> = new Set(["models", "configurations", "leave"]);

const said: [Name, string, unknown][] = [
  ...each("PoolMessageSchema", samples.poolMessages),
  ...each("EdgeMessageSchema", samples.edgeMessages),
  ["ClaimRequestSchema", "", samples.claimRequest],
  ["ClaimReplySchema", "", { claims: Object.values(samples.claimAnswers) }],
  ["EventsRequestSchema", "", samples.eventsRequest],
  ["EventsReplySchema", "", samples.eventsReply],
  ...each("ParkedOutcomeSchema", samples.outcomes),
  ["JobSchema", "", samples.job],
  ["ManifestSchema", "", samples.manifest],
];

function each(name: Name, messages: object): [Name, string, unknown][] {
  return Object.entries(messages).map(([type, message]) => [name, type, message]);
}

const SchemasSchema = z.record(
  z.string(),
  z.custom<z.ZodType>(() => true),
);
let before: Record<string, z.ZodType>;

beforeAll(async () => {
  before = SchemasSchema.parse({ ...((await import(releaseBefore().contract)) as object) });
});

const asBefore = (name: Name, message: unknown) => before[name]?.parse(message);
/** As a peer of a later release says it: with more than is known today. */
const asLater = (message: unknown) => ({ ...(message as object), ofALaterRelease: { any: ["thing"] } });

describe.each(said.filter(([, type]) => !ONLY_TO_WHO_HEARS.has(type)))("%s %s", (name, _type, message) => {
  it("is complete: what is sent is what is read", () => {
    expect(today[name].parse(message)).toEqual(message);
  });

  it("is understood by the release before, but for what is new", () => {
    expect(message).toMatchObject(Object(asBefore(name, message)));
  });

  it("is understood when the release before says it", () => {
    const old = asBefore(name, message);
    expect(today[name].parse(old)).toMatchObject(Object(old));
  });

  it("is understood with more than is known of it", () => {
    expect(today[name].parse(asLater(message))).toEqual(message);
    expect(() => asBefore(name, asLater(message))).not.toThrow();
  });
});

it("what is new is named: no type of message that the release before doesn't know, but to who hears it", () => {
  const unknown = said
    .filter(([name, , message]) => before[name]?.safeParse(message).success !== true)
    .map(([, type]) => type);
  expect(new Set(unknown)).toEqual(ONLY_TO_WHO_HEARS);
});

describe.each(Object.keys(today) as Name[])("%s", (name) => {
  it("has the same words in its lists as before, but for what only who hears it is sent", () => {
    const [old, now] = [shapeOf(before[name] ?? z.never()), shapeOf(today[name])];
    for (const [place, words] of now.words) {
      const known = words.filter((word) => !ONLY_TO_WHO_HEARS.has(word));
      if (old.words.has(place)) expect([place, known]).toEqual([place, old.words.get(place)]);
    }
  });

  it("demands no key that the release before may leave out, and leaves out none that it demands", () => {
    const [old, now] = [shapeOf(before[name] ?? z.never()), shapeOf(today[name])];
    for (const [place, demanded] of now.read) {
      const said = old.said.get(place);
      if (said !== undefined) expect([place, said]).toEqual([place, expect.arrayContaining(demanded)]);
    }
    for (const [place, demanded] of old.read) {
      const said = now.said.get(place);
      expect([place, said]).toEqual([place, expect.arrayContaining(demanded)]);
    }
  });
});

it("sees what the schemas demand", () => {
  const shape = shapeOf(PoolMessageSchema);
  expect(shape.words.get("<hello>.devices[].kind")).toEqual(["cpu", "cuda"]);
  expect(shape.read.get("<room>.lanes[].models[]")).toEqual(["model", "room", "startNow", "version"]);
  expect(shape.said.get("<room>.lanes[].models[]")).toContain("readyInMs");
});
