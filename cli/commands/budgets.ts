/** `edgeplane budgets` and `usage`: what may be spent, what was, and on what. */
import type { Command } from "commander";
import * as z from "zod";
import { parseOptions, segment } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { printJson, printLine, printTable } from "../output.ts";

const NANO_DIGITS = 9;

const BudgetSchema = z.looseObject({
  scope: z.string(),
  of: z.string(),
  period: z.string(),
  kind: z.string(),
  currency: z.string(),
  limit_nano: z.number(),
  spent_nano: z.number(),
  reserved_nano: z.number(),
  left_nano: z.number(),
  period_end: z.string().nullable(),
});
type Budget = z.output<typeof BudgetSchema>;
const BudgetsSchema = z.object({ results: z.array(BudgetSchema) });

const scopes = ["account", "key", "model"] as const;
const periods = ["day", "month", "all"] as const;
const AmountSchema = z
  .string()
  .regex(/^-?\d{1,7}(\.\d{1,9})?$/, "an amount such as 12.50, with 9 decimals at most")
  .transform(nanoOf);
const NameSchema = z.object({ scope: z.enum(scopes), of: z.string(), period: z.enum(periods) });
const ListOptionsSchema = z.object({ account: z.string().optional(), model: z.string().optional() });
const SetOptionsSchema = z.object({
  currency: z.string().default("USD"),
  kind: z.enum(["hard", "soft", "strict"]).default("hard"),
  webhook: z.string().optional(),
  account: z.string().optional(),
});
const AlertsOptionsSchema = z.object({ webhook: z.string().optional(), below: z.string().optional() });
const TopUpOptionsSchema = z.object({
  idempotencyKey: z.string(),
  why: z.string(),
  currency: z.string().default("USD"),
});

const SumSchema = z.looseObject({
  from: z.string(),
  model: z.string().nullish(),
  key: z.string().nullish(),
  device: z.string().nullish(),
  deployment: z.string().nullish(),
  phase: z.string().nullish(),
  requests: z.number(),
  billed: z.number(),
  gpu_us: z.number(),
  cost: z.string(),
  currency: z.string().nullable(),
});
const UsageSchema = z.object({ results: z.array(SumSchema), next_cursor: z.string().nullish() });
const UsageOptionsSchema = z.object({
  by: z.enum(["hour", "day", "month"]).default("day"),
  group: z.string().default("model"),
  from: z.string().optional(),
  to: z.string().optional(),
  account: z.string().optional(),
});

const MarginsSchema = z.object({
  results: z.array(
    z.looseObject({
      from: z.string(),
      line: z.string(),
      model: z.string().nullable(),
      requests: z.number(),
      attempt_us: z.number(),
      instance_us: z.number(),
      unpriced_us: z.number(),
      amounts: z.array(z.object({ currency: z.string(), revenue: z.string(), rent: z.string(), margin: z.string() })),
    }),
  ),
});
const MarginOptionsSchema = z.object({
  by: z.enum(["day", "month"]).default("day"),
  from: z.string().optional(),
  to: z.string().optional(),
});

export function addBudgets(program: Command, context: Context): void {
  const budgets = program.command("budgets").description("what may be spent, and what is left (set by the operator)");
  budgets
    .command("list", { isDefault: true })
    .description("the budgets of your account and key; of any account, or of a model, with the operator's key")
    .option("--account <account>", "an account, with its keys (the operator's key)")
    .option("--model <owner/name>", "a model (the operator's key)")
    .action(async (options: unknown) => {
      const query = parseOptions(ListOptionsSchema, options);
      const isOwn = query.account === undefined && query.model === undefined;
      const { results } = isOwn
        ? await context.client().api(BudgetsSchema, "GET", "/budgets")
        : await context.client().admin(BudgetsSchema, "GET", "/budgets", { query });
      show(context, results);
    });
  budgets
    .command("set <scope> <of> <period> <limit>")
    .description("what an account, a key or a model may spend in a day, a month, or in all (the operator's key)")
    .option("--currency <code>", "ISO 4217, that of the prices; USD")
    .option("--kind <kind>", "hard: refuses what should cost too much; strict: what could; soft: only tells")
    .option("--webhook <url>", "told at 50, 80 and 100 %")
    .option("--account <account>", "that of a key jwt:<issuer>:<sub>, which is a caller with JSON Web Tokens")
    .action(async (scope: string, of: string, period: string, limit: string, options: unknown) => {
      const { currency, kind, webhook, account } = parseOptions(SetOptionsSchema, options);
      const body = { limit_nano: amount(limit), currency, kind, webhook: webhook ?? null, account };
      show(context, [await context.client().admin(BudgetSchema, "PUT", pathOf({ scope, of, period }), { body })]);
    });
  budgets
    .command("remove <scope> <of> <period>")
    .description("remove a budget; `account <account> balance`: a balance that is spent (the operator's key)")
    .action(async (scope: string, of: string, period: string) => {
      const isBalance = scope === "account" && period === "balance";
      const path = isBalance ? balanceOf(of) : pathOf({ scope, of, period });
      await context.client().admin(z.unknown(), "DELETE", path);
    });
  budgets
    .command("alerts <account>")
    .description("who is told when an account's balance runs low (the operator's key)")
    .option("--webhook <url>", "told once below the amount, once at 0, and again after a payment; without: nobody")
    .option("--below <amount>", "such as 2.50; 0")
    .action(async (account: string, options: unknown) => {
      const { webhook = null, below } = parseOptions(AlertsOptionsSchema, options);
      const body = { webhook, alert_below_nano: amount(below ?? "0") };
      show(context, [await context.client().admin(BudgetSchema, "PUT", balanceOf(account), { body })]);
    });
  budgets
    .command("top-up <account> <amount>")
    .description("pay into an account's balance, once for each key (the operator's key)")
    .requiredOption("--idempotency-key <key>", "names the payment, such as an invoice's number")
    .requiredOption("--why <text>", "what it is for")
    .option("--currency <code>", "ISO 4217, that of the prices; USD")
    .action(async (account: string, text: string, options: unknown) => {
      const { idempotencyKey, why, currency } = parseOptions(TopUpOptionsSchema, options);
      const call = {
        body: { amount_nano: amount(text), currency, why },
        headers: { "idempotency-key": idempotencyKey },
        repeatable: true,
      };
      show(context, [await context.client().admin(BudgetSchema, "POST", balanceOf(account), call)]);
    });
}

function addMargin(usage: Command, context: Context): void {
  usage
    .command("margin")
    .description("revenue minus rent by model, over all accounts (the operator's key)")
    .option("--by <span>", "day or month; day")
    .option("--from <time>", "the first one, such as 2026-11-01")
    .option("--to <time>", "before this one")
    .action(async (options: unknown) => {
      const query = parseOptions(MarginOptionsSchema, options);
      const { results } = await context.client().admin(MarginsSchema, "GET", "/usage/margin", { query });
      if (context.globals().json) return printJson(context.io, results);
      const nothing = { currency: null, revenue: null, rent: null, margin: null };
      const rows = results.flatMap((one) =>
        (one.amounts.length > 0 ? one.amounts : [nothing]).map(({ currency, revenue, rent, margin }) => [
          ...[one.from.slice(0, query.by === "day" ? 10 : 7), one.model ?? one.line, one.requests],
          ...[((one.attempt_us + one.instance_us) / 1e6).toFixed(3), (one.unpriced_us / 1e6).toFixed(3)],
          ...[revenue, rent, margin, currency],
        ]),
      );
      const tail = ["revenue", "rent", "margin", "currency"];
      const head = [query.by, "model", "requests", "device s", "without rent s", ...tail];
      return printTable(context.io, head, rows);
    });
}

export function addUsage(program: Command, context: Context): void {
  const usage = program.command("usage").description("what was used, and what it cost; revenue minus rent");
  usage
    .command("show", { isDefault: true })
    .description("what your account used, and what it cost; of any account with the operator's key")
    .option("--by <span>", "hour, day or month; day")
    .option("--group <names>", "by what sums are told apart: model,key,device,deployment,phase; model")
    .option("--from <time>", "the first one, such as 2026-11-01")
    .option("--to <time>", "before this one")
    .option("--account <id>", "an account by its id, or overhead (the operator's key)")
    .action(async (options: unknown) => {
      const { account, ...query } = parseOptions(UsageOptionsSchema, options);
      const found: z.output<typeof SumSchema>[] = [];
      let cursor: string | undefined;
      do {
        const page: z.output<typeof UsageSchema> =
          account === undefined
            ? await context.client().api(UsageSchema, "GET", "/usage", { query: { ...query, cursor } })
            : await context.client().admin(UsageSchema, "GET", "/usage", { query: { ...query, account, cursor } });
        found.push(...page.results);
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      if (context.globals().json) return printJson(context.io, found);
      const names = (["model", "key", "device", "deployment", "phase"] as const).filter((name) =>
        query.group.split(",").includes(name),
      );
      const rows = found.map((one) => [
        one.from.slice(0, query.by === "hour" ? 13 : query.by === "day" ? 10 : 7),
        ...names.map((name) => one[name]),
        ...[one.requests, one.billed, (one.gpu_us / 1e6).toFixed(3), one.currency === null ? null : one.cost],
        one.currency,
      ]);
      const head = [query.by, ...names, "requests", "billed", "device s", "cost", "currency"];
      return printTable(context.io, head, rows);
    });
  addMargin(usage, context);
}

function pathOf(name: Record<"scope" | "of" | "period", string>): string {
  const parsed = NameSchema.safeParse(name);
  if (!parsed.success) {
    const why = `Say one of ${scopes.join(", ")}, whose it is, and one of ${periods.join(", ")}.`;
    throw new CliError(`"${name.scope} ${name.of} ${name.period}" names no budget`, exitCodes.usage, why);
  }
  const { scope, of, period } = parsed.data;
  return `/budgets/${scope}/${segment(of)}/${period}`;
}

function balanceOf(account: string): string {
  return `/accounts/${segment(account)}/balance`;
}

function amount(text: string): number {
  const parsed = AmountSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new CliError(`"${text}" is no amount`, exitCodes.usage, "Say one such as 12.50, with 9 decimals at most.");
}

/** In 10^-9 of the currency. */
function nanoOf(text: string): number {
  const [whole = "", broken = ""] = text.split(".");
  return Number(`${whole}${broken.padEnd(NANO_DIGITS, "0")}`);
}

function amountText(nano: number): string {
  const digits = String(Math.abs(nano)).padStart(NANO_DIGITS + 1, "0");
  return `${nano < 0 ? "-" : ""}${digits.slice(0, -NANO_DIGITS)}.${digits.slice(-NANO_DIGITS).slice(0, 6)}`;
}

function show(context: Context, budgets: readonly Budget[]): void {
  if (context.globals().json) return printJson(context.io, budgets);
  if (budgets.length === 0) return printLine(context.io, "no budgets: nothing limits what is spent");
  const rows = budgets.map((one) => [
    ...[one.scope, one.of, one.period, one.kind, amountText(one.limit_nano), amountText(one.spent_nano)],
    ...[amountText(one.reserved_nano), amountText(one.left_nano), one.currency, one.period_end],
  ]);
  const head = ["of", "name", "period", "kind", "limit", "spent", "reserved", "left", "currency", "until"];
  printTable(context.io, head, rows);
}
