/** docs/errors.md, made from the table of errors: `npm run format` writes it, `npm run check` finds it out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorTable } from "../../src/contract/errors.ts";

const file = fileURLToPath(new URL("../../docs/errors.md", import.meta.url));

const HEAD = `# Errors

Every refusal is a problem details document ([api.md](api.md#errors)) whose \`code\` is one of these; its \`type\` leads to
this table at \`/docs/errors\`. A prediction that ended without success has one of them as its \`error_code\`.
\`npm run format\` makes this page from \`src/contract/errors.ts\`.

| Status | \`code\` | Means | Cause | Remedy |
|---|---|---|---|---|
`;

/** The page's text. */
function errorsDoc(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { status, title, cause, remedy }]) => `| ${status} | \`${code}\` | ${title} | ${cause} | ${remedy} |\n`,
  );
  return HEAD + rows.join("");
}

export function writeErrorsDoc(): void {
  writeFileSync(file, errorsDoc());
}

/** Code 0 when the page says what the table says. */
export function checkErrorsDoc(): { code: number; output: string } {
  if (readFileSync(file, "utf8") === errorsDoc()) return { code: 0, output: "" };
  return { code: 1, output: "docs/errors.md is not what src/contract/errors.ts says: run `npm run format`.\n" };
}
