/** What plugins decided over a prediction, as its record keeps it: never the text that they decided over. */
import * as z from "zod";

/**
 * `note`: let through, with a finding. `change`: changed. `shadow`: would have been refused, or changed. `reject`:
 * refused. `broken`: the plugin could not decide, and was let fail open.
 */
export const verdictActions = ["note", "change", "shadow", "reject", "broken"] as const;
export type VerdictAction = (typeof verdictActions)[number];

export const VerdictRecordSchema = z
  .object({
    plugin: z.string(),
    phase: z.string(),
    action: z.enum(verdictActions),
    code: z.string().nullable().meta({ description: "The code of a refusal." }),
    category: z.string().nullable().meta({ description: "Of what was found." }),
    rule: z.string().nullable().meta({ description: "The rule that matched; never the text." }),
  })
  .meta({ id: "Verdict" });
export type VerdictRecord = z.infer<typeof VerdictRecordSchema>;

/** Of one prediction; what is beyond says nothing new. */
const MAX_RECORDS = 50;
const MAX_CHARS = 100;

/** Adds `more` to `records`, each once. */
export function addVerdicts(records: VerdictRecord[], more: readonly VerdictRecord[]): void {
  for (const one of more) {
    if (records.length >= MAX_RECORDS) return;
    const record = { ...one, category: cut(one.category), rule: cut(one.rule) };
    const key = JSON.stringify(record);
    if (!records.some((known) => JSON.stringify(known) === key)) records.push(record);
  }
}

function cut(text: string | null): string | null {
  return text === null ? null : text.slice(0, MAX_CHARS);
}
