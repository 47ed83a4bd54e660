/**
 * Usage as a table of FOCUS 1.2 (https://focus.finops.org/focus-specification/v1-2/): one row for each sum, with the
 * columns that the specification demands of a provider of usage without commitments. The price of an attempt has parts
 * (seconds, units, a minimum), which no single unit price tells: a row is priced as one unit, whose price is its cost.
 */
import { amountOf } from "../contract/price.ts";
import { DAY_MS, HOUR_MS, monthStart } from "./calendar.ts";
import type { Span, UsageGroup, UsagePage } from "./usage-query.ts";

const PROVIDER = "Edgeplane";
/** ISO 4217: no currency is involved. */
const NO_CURRENCY = "XXX";

type Row = {
  account: string;
  by: Span;
  group: UsageGroup;
};

/** What each column says, in the order of the columns. An empty text: null. */
const columns: Record<string, (row: Row) => string> = {
  BilledCost: costOf,
  BillingAccountId: ({ account }) => account,
  BillingAccountName: ({ account }) => account,
  BillingAccountType: () => "Account",
  BillingCurrency: ({ group }) => (group.currency === "" ? NO_CURRENCY : group.currency),
  BillingPeriodEnd: ({ group }) => timeOf(monthStart(group.at, 1)),
  BillingPeriodStart: ({ group }) => timeOf(monthStart(group.at)),
  ChargeCategory: () => "Usage",
  ChargeClass: () => "",
  ChargeDescription: ({ group }) => descriptionOf(group),
  ChargeFrequency: () => "Usage-Based",
  ChargePeriodEnd: ({ group, by }) => timeOf(endOf(group.at, by)),
  ChargePeriodStart: ({ group }) => timeOf(group.at),
  // No commitments are sold; rules of other columns ask for it.
  CommitmentDiscountStatus: () => "",
  ConsumedQuantity: ({ group }) => secondsOf(group),
  ConsumedUnit: () => "Seconds",
  ContractedCost: costOf,
  ContractedUnitPrice: costOf,
  EffectiveCost: costOf,
  InvoiceId: () => "",
  InvoiceIssuerName: () => PROVIDER,
  ListCost: costOf,
  ListUnitPrice: costOf,
  PricingCategory: () => "Standard",
  PricingCurrency: ({ group }) => (group.currency === "" ? NO_CURRENCY : group.currency),
  PricingCurrencyContractedUnitPrice: costOf,
  PricingCurrencyEffectiveCost: costOf,
  PricingCurrencyListUnitPrice: costOf,
  PricingQuantity: () => amountOf(1_000_000_000),
  PricingUnit: () => "Units",
  ProviderName: () => PROVIDER,
  PublisherName: () => PROVIDER,
  ResourceId: ({ group }) => resourceOf(group),
  ResourceName: ({ group }) => resourceOf(group),
  ResourceType: ({ group }) => ((group.deployment ?? "") === "" ? "Model" : "Deployment"),
  ServiceCategory: () => "AI and Machine Learning",
  ServiceName: () => "Edgeplane",
  ServiceSubcategory: () => "Generative AI",
  SkuId: ({ group }) => `${modelOf(group)} on ${group.device ?? ""}`,
  SkuMeter: ({ group }) => (isRun(group) ? "Run time" : "Instance time"),
  SkuPriceDetails: () => "{}",
  SkuPriceId: ({ group }) => `${modelOf(group)} on ${group.device ?? ""}, ${group.phase ?? "run"}`,
  SubAccountId: ({ group }) => group.key ?? "",
  SubAccountName: ({ group }) => group.key ?? "",
  SubAccountType: ({ group }) => ((group.key ?? "") === "" ? "" : "API key"),
  Tags: ({ group }) => JSON.stringify({ device: group.device ?? "", phase: group.phase ?? "run" }),
  x_GpuMicroseconds: ({ group }) => String(isRun(group) ? group.gpuUs : group.instanceUs),
  x_Requests: ({ group }) => String(group.requests),
  x_Units: ({ group }) => JSON.stringify(group.units),
};

/** The first line. */
const header = lineOf(Object.keys(columns));

/**
 * All lines, a page at a time, as they are read. Sums are bounded, and a bill that ended early would look whole: it has
 * all of them, or breaks off with the error of `read`. Groups must be told apart by all that they can be.
 */
export function focusTable(
  account: string,
  by: Span,
  read: (after: UsagePage["next"]) => Promise<UsagePage>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let after: UsagePage["next"] = null;
  let before = header;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { groups, next } = await read(after);
      controller.enqueue(encoder.encode(`${before}${linesOf(account, by, groups)}`));
      before = "";
      after = next;
      if (after === null) controller.close();
    },
  });
}

function linesOf(account: string, by: Span, groups: readonly UsageGroup[]): string {
  return groups.map((group) => lineOf(Object.values(columns).map((column) => column({ account, by, group })))).join("");
}

/** https://www.rfc-editor.org/rfc/rfc4180; a text that a spreadsheet would take for a formula is put in as text. */
function lineOf(values: readonly string[]): string {
  return `${values.map(cellOf).join(",")}\r\n`;
}

function cellOf(value: string): string {
  const safe = /^[=+@\t\r]|^-(?!\d)/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function costOf({ group }: Row): string {
  return amountOf(group.costNano);
}

function isRun({ phase }: UsageGroup): boolean {
  return phase === null || phase === "run";
}

function secondsOf(group: UsageGroup): string {
  const us = isRun(group) ? group.gpuUs : group.instanceUs;
  return amountOf(us * 1000);
}

function modelOf({ model }: UsageGroup): string {
  return (model ?? "") === "" ? "no model" : (model ?? "");
}

function resourceOf(group: UsageGroup): string {
  return (group.deployment ?? "") === "" ? modelOf(group) : (group.deployment ?? "");
}

function descriptionOf(group: UsageGroup): string {
  if (isRun(group)) return `${group.requests} runs of ${modelOf(group)} on ${group.device ?? "any device"}`;
  return `${group.phase ?? ""} time of ${modelOf(group)} on ${group.device ?? "any device"}`;
}

function endOf(at: number, by: Span): number {
  if (by === "month") return monthStart(at, 1);
  return at + (by === "day" ? DAY_MS : HOUR_MS);
}

function timeOf(at: number): string {
  return new Date(at).toISOString().replace(".000Z", "Z");
}
