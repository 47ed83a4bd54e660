/** The part of the table of errors (`errors.ts`) that is about money. */
export const budgetErrors = {
  budget_spent: {
    status: 402,
    title: "A budget is spent",
    cause: "What the prediction should cost is more than is left of a budget of the key, the account or the model.",
    remedy:
      "`GET /v1/budgets` shows what is left; wait for the next day or month (`Retry-After`), or have the operator raise the budget that `detail` names.",
  },
  balance_empty: {
    status: 402,
    title: "The balance is used up",
    cause: "The account pays ahead, and what the prediction should cost is more than is left of its balance.",
    remedy: "Pay in: the operator tops the account up with `POST /admin/v1/accounts/{account}/balance`.",
  },
  budget_currency: {
    status: 402,
    title: "A budget is in another currency than the price",
    cause: "The model's price is in another currency than a budget that holds for the call, which can't count it.",
    remedy: "Have the operator set the budget that `detail` names in the currency of the prices.",
  },
  budget_unbounded: {
    status: 402,
    title: "A strict budget can't hold a price by units alone",
    cause: "The model's price has units and no time, and nobody knows before a run how many units it makes.",
    remedy: "Have the operator make the budget that `detail` names `hard`, or set a price by time, too.",
  },
} as const satisfies Record<string, { status: number; title: string; cause: string; remedy: string }>;
