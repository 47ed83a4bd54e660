/** What clients and operators ask of usage, and how it is shown. */
import * as z from "zod";
import { amountOf } from "../contract/price.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { fromBase64Url, toBase64Url } from "../contract/signing.ts";
import type { Env } from "../env.ts";
import { DAY_MS, HOUR_MS, dayOf, hourOf, isClosed, keptFrom, monthStart } from "../metering/calendar.ts";
import { dimensionNames } from "../metering/sums.ts";
import { spans } from "../metering/usage-query.ts";
import type { Span, UsageGroup, UsagePage, UsageRequest } from "../metering/usage-query.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { TimeSchema, wholeNumber } from "./parameters.ts";

const DEFAULT_LIMIT = 100;
export const MAX_LIMIT = 1000;
/** How far back is shown where nothing else is asked for. */
const DEFAULT_SPANS: Record<Span, (now: number) => number> = {
  hour: (now) => hourOf(now) - 23 * HOUR_MS,
  day: (now) => dayOf(now) - 29 * DAY_MS,
  month: (now) => monthStart(now, -12),
};

const GroupSchema = z
  .string()
  .transform((text) => text.split(","))
  .pipe(z.array(z.enum(dimensionNames)))
  .meta({
    description:
      "By what sums are told apart, by commas: `model`, `key`, `device`, `deployment`, `phase`. None: by none.",
    examples: ["model,device"],
    override: ({ jsonSchema }) => {
      for (const name of Object.keys(jsonSchema))
        if (name !== "description" && name !== "examples") delete jsonSchema[name];
      jsonSchema.type = "string";
    },
  });

export const UsageQuerySchema = z.object({
  from: TimeSchema.optional().meta({
    description: "The first hour, day or month begins there or before; else the last 24 hours, 30 days or 13 months.",
    examples: ["2026-11-01"],
  }),
  to: TimeSchema.optional().meta({ description: "The last one begins before; now.", examples: ["2026-12-01"] }),
  by: z
    .enum(spans)
    .optional()
    .meta({ description: "`day`. Hours are kept for 40 days, days and months for 13 months." }),
  group: GroupSchema.optional(),
  model: z.string().optional().meta({ description: "Only of this one: `owner/name`." }),
  key: z.string().optional().meta({ description: "Only of this API key, by its id." }),
  device: z.string().optional().meta({ description: "Only on this kind of device." }),
  deployment: z.string().optional().meta({ description: "Only of this deployment: `owner/name`." }),
  limit: wholeNumber(1, MAX_LIMIT)
    .optional()
    .meta({ description: `How many sums at most; ${DEFAULT_LIMIT}.` }),
  cursor: z.string().optional().meta({ description: "`next_cursor` of the page before." }),
});
export type UsageQuery = z.output<typeof UsageQuerySchema>;

const Whole = z.number().int();
const named = z.string().nullable();

export const UsageSumSchema = z
  .object({
    from: z.iso.datetime().meta({ description: "When the hour, the day or the month begins, in UTC." }),
    closed: z.boolean().meta({ description: "Whether its month is closed: its figures don't change any more." }),
    model: named.meta({ description: "Null where sums are not told apart by it; so are the next four." }),
    key: named.meta({ description: "The id of the API key; empty where none asked." }),
    device: named,
    deployment: named,
    phase: named.meta({
      description: "`run`: of attempts; else of instances: `setup`, `idle`, `drain`, `boot`, `unused`.",
    }),
    requests: Whole.meta({ description: "Attempts that ran, and answers of a cache." }),
    billed: Whole.meta({ description: "Those of them that are billed." }),
    queued_ms: Whole,
    run_ms: Whole,
    gpu_us: Whole.meta({ description: "What attempts had of devices, in microseconds." }),
    instance_us: Whole.meta({ description: "What instances had of devices while no attempt ran, in microseconds." }),
    units: z.record(z.string(), z.number()).meta({ description: "What models counted, such as tokens." }),
    cost_nano: z.string().meta({ description: "In 10^-9 of the currency.", examples: ["1250000"] }),
    cost: z.string().meta({ description: "The same, as a decimal number.", examples: ["0.001250000"] }),
    currency: z.string().nullable().meta({ description: "ISO 4217; null where nothing has a price." }),
  })
  .meta({ id: "UsageSum" });

export const UsagePageSchema = z
  .object({
    by: z.enum(spans),
    results: z.array(UsageSumSchema),
    next_cursor: z.string().nullable().meta({ description: "Of the next page; null on the last." }),
  })
  .meta({ id: "Usage" });

/** What a query asks of the meter. Throws `invalid_request` for times that can't be. */
export function usageRequestOf(query: UsageQuery, now: number): UsageRequest {
  const { by = "day", group = [], limit = DEFAULT_LIMIT, cursor, from, to = now } = query;
  const begins = startOf(by, from ?? DEFAULT_SPANS[by](now));
  if (to <= begins) throw new EdgeplaneError("invalid_request", "`to` must be later than `from`.");
  const { hours, days } = keptFrom(now);
  const where = Object.fromEntries(
    (["model", "key", "device", "deployment"] as const).flatMap((name) =>
      query[name] === undefined ? [] : [[name, query[name]]],
    ),
  );
  return {
    ...{ from: Math.max(begins, by === "hour" ? hours : days), to, by, group, where, limit },
    after: cursor === undefined ? null : decodePlace(cursor, new Set(group).size),
  };
}

export async function readUsage(env: Env, account: string, request: UsageRequest): Promise<UsagePage> {
  return callObject(() => objectNamed(env.METER, account).usage(request));
}

export function showUsage({ groups, next }: UsagePage, by: Span, now: number): z.output<typeof UsagePageSchema> {
  return {
    by,
    results: groups.map((group) => showGroup(group, now)),
    next_cursor: next === null ? null : toBase64Url(new TextEncoder().encode(JSON.stringify(next))),
  };
}

function showGroup(group: UsageGroup, now: number): z.output<typeof UsageSumSchema> {
  const { at, model, key, device, deployment, phase, requests, billed, units, costNano, currency } = group;
  return {
    ...{ from: new Date(at).toISOString(), closed: isClosed(at, now), model, key, device, deployment, phase },
    ...{ requests, billed, queued_ms: group.queuedMs, run_ms: group.runMs, gpu_us: group.gpuUs },
    ...{ instance_us: group.instanceUs, units, cost_nano: String(costNano), cost: amountOf(costNano) },
    currency: currency === "" ? null : currency,
  };
}

function startOf(by: Span, at: number): number {
  if (by === "month") return monthStart(at);
  return by === "day" ? dayOf(at) : hourOf(at);
}

/** A place is a time, the values of what is grouped by, and a currency. */
function decodePlace(cursor: string, dimensions: number): (string | number)[] {
  const bytes = cursor.length <= 4096 ? fromBase64Url(cursor) : null;
  const place = z
    .tuple([z.number().int()], z.string())
    .refine(({ length }) => length === dimensions + 2)
    .safeParse(parsed(bytes === null ? "" : new TextDecoder().decode(bytes)));
  if (place.success) return place.data;
  throw new EdgeplaneError(
    "invalid_request",
    "`cursor` is not one of this query; take it from `next_cursor` of the page before, and change nothing else.",
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
