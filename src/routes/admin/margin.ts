/** `/admin/v1/usage/margin`: revenue minus rent, by model, over all accounts. */
import type { Hono } from "hono";
import * as z from "zod";
import { amountOf, CurrencySchema } from "../../contract/price.ts";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Env } from "../../env.ts";
import { DAY_MS } from "../../metering/calendar.ts";
import { marginOf } from "../../metering/margin.ts";
import type { MarginLine } from "../../metering/margin.ts";
import { rentsOf } from "../../metering/rents.ts";
import { ALL_ACCOUNTS } from "../../metering/totals.ts";
import type { UsageGroup, UsageRequest } from "../../metering/usage-query.ts";
import { callObject } from "../../object-calls.ts";
import { scalerObject } from "../../scaling/object/remote.ts";
import { readSettings } from "../../settings/publish.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";
import { MAX_LIMIT, readUsage, UsageQuerySchema, usageRequestOf } from "../usage-view.ts";

/** Days of one answer, where it is by day. */
const MAX_DAYS = 62;

const Whole = z.number().int();
const Nano = z.string().meta({ description: "In 10^-9 of the currency.", examples: ["1250000"] });
const Amount = z.string().meta({ description: "As a decimal number.", examples: ["0.001250000"] });

const MarginSchema = z
  .object({
    from: z.iso.datetime().meta({ description: "When the day or the month begins, in UTC." }),
    line: z.enum(["model", "overhead"]).meta({
      description:
        "`overhead`: time of devices that belongs to no model: `boot`, `unused`, instances that nobody knows.",
    }),
    model: z.string().nullable().meta({ description: "`owner/name`; null for `overhead`." }),
    requests: Whole,
    attempt_us: Whole.meta({ description: "What attempts had of devices, in microseconds." }),
    instance_us: Whole.meta({ description: "What instances had of devices while no attempt ran, in microseconds." }),
    unpriced_us: Whole.meta({
      description: "Of both together, the time of devices whose rent nobody knows.",
    }),
    amounts: z.array(
      z.object({
        currency: CurrencySchema,
        revenue_nano: Nano,
        rent_nano: Nano,
        margin_nano: Nano,
        revenue: Amount,
        rent: Amount,
        margin: Amount.meta({ description: "Revenue minus rent; negative where rent is more." }),
      }),
    ),
  })
  .meta({ id: "Margin" });
const AnswerSchema = z.object({ by: z.enum(["day", "month"]), results: z.array(MarginSchema) }).meta({ id: "Margins" });

const QuerySchema = UsageQuerySchema.pick({ from: true, to: true }).extend({
  by: z
    .enum(["day", "month"])
    .optional()
    .meta({ description: `\`day\`; ${MAX_DAYS} of them at most.` }),
});

export function addMargin(routes: Hono<App>): void {
  routes.get(
    "/margin",
    operation(
      {
        id: "getMargin",
        tag: "Operator",
        summary: "Read revenue minus rent, by model",
        description:
          "Over all accounts, complete up to some ten minutes ago. Rent is the devices' time at `rents` of the settings that held when it was used, or at what the scaler had paid last.",
        access: "operator",
        query: QuerySchema,
        answers: { 200: json(AnswerSchema, "By time and model, the oldest first; overhead last of its time.") },
      },
      async (c, { query }) => {
        const by = query.by ?? "day";
        const request = usageRequestOf({ ...query, by, group: ["model", "device", "phase", "key"] }, Date.now());
        if (by === "day" && request.to - request.from > MAX_DAYS * DAY_MS)
          throw new EdgeplaneError("invalid_request", `Ask for ${MAX_DAYS} days at most, or by month.`);
        const { settings } = (await readSettings(c.env, null)).numbered;
        const paid = await callObject(() => scalerObject(c.env).lastRents());
        const lines = marginOf(await readAll(c.env, request), rentsOf(settings.rents, paid));
        return c.json({ by, results: lines.map((line) => show(line)) });
      },
    ),
  );
}

async function readAll(env: Env, request: UsageRequest): Promise<UsageGroup[]> {
  const groups: UsageGroup[] = [];
  let after: UsageRequest["after"] = null;
  do {
    const page = await readUsage(env, ALL_ACCOUNTS, { ...request, limit: MAX_LIMIT, after });
    groups.push(...page.groups);
    after = page.next;
  } while (after !== null);
  return groups;
}

function show({ at, model, amounts, ...line }: MarginLine): z.output<typeof MarginSchema> {
  return {
    ...{ from: new Date(at).toISOString(), line: model === null ? "overhead" : "model", model },
    ...{ requests: line.requests, attempt_us: line.attemptUs, instance_us: line.instanceUs },
    unpriced_us: line.unpricedUs,
    amounts: [...amounts]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([currency, { revenueNano, rentNano }]) => {
        const marginNano = revenueNano - rentNano;
        return {
          ...{
            currency,
            revenue_nano: String(revenueNano),
            rent_nano: String(rentNano),
            margin_nano: String(marginNano),
          },
          ...{ revenue: amountOf(revenueNano), rent: amountOf(rentNano), margin: amountOf(marginNano) },
        };
      }),
  };
}
