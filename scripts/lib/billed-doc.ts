/**
 * The table in docs/usage.md of what is billed, made from the code that decides it: `npm run format` writes it, `npm
 * run check` finds it out of date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { billing } from "../../src/metering/billed.ts";

const file = fileURLToPath(new URL("../../docs/usage.md", import.meta.url));
const BEGIN = "<!-- Made by `npm run format` from src/metering/billed.ts: -->\n";
const END = "<!-- End of what is made. -->\n";

export function writeBilledDoc(): void {
  writeFileSync(file, withTable(readFileSync(file, "utf8")));
}

/** Code 0 when the page says what the code does. */
export function checkBilledDoc(): { code: number; output: string } {
  const text = readFileSync(file, "utf8");
  if (text === withTable(text)) return { code: 0, output: "" };
  return { code: 1, output: "docs/usage.md is not what src/metering/billed.ts says: run `npm run format`.\n" };
}

function withTable(text: string): string {
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error("docs/usage.md has no place for the table");
  const rows = Object.entries(billing).map(
    ([ending, { billed, means }]) => `| \`${ending}\` | ${billed ? "yes" : "no"} | ${means} |\n`,
  );
  return `${before}${BEGIN}\n| Ending | Billed | Means |\n|---|---|---|\n${rows.join("")}\n${END}${after}`;
}
