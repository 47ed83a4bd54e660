/**
 * The one table that says which ending of an attempt, or of a prediction that nothing ran, is billed. The table in
 * docs/usage.md is made from it.
 *
 * The rule behind it: a caller pays for what ran for them to an end that is theirs (a result, an error of the model's
 * own, an end that they asked for), and never for what broke, was repeated or was thrown away.
 */
import * as z from "zod";

/** How an attempt ended; the last three are of predictions that started nowhere. */
export const endings = [
  "succeeded",
  "failed",
  "timed_out",
  "canceled",
  "crashed",
  "interrupted",
  "released",
  "bisected",
  "lost",
  "superseded",
  "refused_output",
  "question",
  "cached",
  "not_started",
  "refused",
] as const;
export const EndingSchema = z.enum(endings);
export type Ending = z.infer<typeof EndingSchema>;

export const billing: Readonly<Record<Ending, { billed: boolean; means: string }>> = {
  succeeded: { billed: true, means: "The model's result was stored." },
  failed: { billed: true, means: "The model's own code raised over the input, or could not take it." },
  timed_out: { billed: true, means: "It ran until its time in all, or the time of one run, was over." },
  canceled: { billed: true, means: "It ran, and the client, or `Cancel-After`, stopped it: what ran until then." },
  refused_output: { billed: true, means: "It ran, and a plugin refused its output." },
  crashed: {
    billed: false,
    means: "The process that ran it died, hung, or ran out of memory or disk; or a guard could not decide.",
  },
  interrupted: { billed: false, means: "It was lost after output had left, and could not be repeated." },
  released: { billed: false, means: "The pool handed it back: a drain, a sick host, a model that can't be set up." },
  bisected: { billed: false, means: "Its batch failed, and it ran again in a smaller one." },
  lost: { billed: false, means: "Its pool vanished, and it ran again elsewhere or failed for it." },
  superseded: { billed: false, means: "A later attempt had begun when it reported." },
  question: { billed: false, means: "A plugin asked the model to judge another prediction." },
  cached: { billed: false, means: "A plugin answered it, such as `response-cache`: nothing ran." },
  not_started: { billed: false, means: "It was canceled, or its deadline passed, before it started." },
  refused: { billed: false, means: "The request was refused: a limit, a budget, a guard, a wrong input." },
};

/** Codes of failures that are the system's. What else a model or an input fails with is the caller's to pay. */
const unbilledCodes: Readonly<Record<string, Ending>> = {
  model_crashed: "crashed",
  model_unresponsive: "crashed",
  guard_unavailable: "crashed",
  disk_full: "crashed",
  setup_failed: "released",
  attempts_exhausted: "lost",
  undeliverable: "not_started",
  internal: "crashed",
  interrupted: "interrupted",
  timed_out: "timed_out",
  deadline_before_start: "not_started",
};
/** Codes with which an output is refused that ran. */
const refusedOutputCodes: ReadonlySet<string> = new Set(["rejected_by_policy"]);

/**
 * How a prediction ended, for its bill. `ran`: an attempt of it began. `attempt` 0 with success: a plugin answered it.
 */
export function endingOf(end: {
  status: "succeeded" | "failed" | "canceled" | "aborted";
  errorCode: string | null;
  attempt: number;
  ran: boolean;
  isQuestion?: boolean;
}): Ending {
  const { status, errorCode, attempt, ran, isQuestion = false } = end;
  if (isQuestion) return "question";
  if (attempt === 0) return status === "succeeded" ? "cached" : "not_started";
  if (!ran) return "not_started";
  if (status === "succeeded") return "succeeded";
  if (status === "canceled") return "canceled";
  if (status === "aborted") return "not_started";
  if (errorCode === null) return "failed";
  if (refusedOutputCodes.has(errorCode)) return "refused_output";
  return Object.hasOwn(unbilledCodes, errorCode) ? (unbilledCodes[errorCode] ?? "failed") : "failed";
}

export function isBilled(ending: Ending): boolean {
  return billing[ending].billed;
}
