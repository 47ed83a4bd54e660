import { expect, it } from "vitest";
import { checkProseWidth, wideLines } from "./prose-width.ts";

const WIDE = "wide ".repeat(25);
const FITS = "€".repeat(100) + " is 120 columns wide";

it("finds comments of sources, and not their code", () => {
  const source = [`// ${WIDE}`, `const text = "${WIDE}";`, ` * ${WIDE}`, `/** ${WIDE}*/`, FITS, "# fits"].join("\n");
  expect(wideLines(source, "script")).toEqual([1, 3, 4]);
});

it("finds the texts of Python between their quotes", () => {
  const source = [`"""${WIDE}`, WIDE, `"""`, `call("${WIDE}")`, `"""${WIDE}"""`, `call("${WIDE}")`].join("\n");
  expect(wideLines(source, "python")).toEqual([1, 2, 5]);
});

it("finds prose of pages, and not their tables, pictures, code and addresses", () => {
  const page = [WIDE, `| ${WIDE}`, `![${WIDE}](a.png)`, "```sh", WIDE, "```", `- ${WIDE}`, "x".repeat(200), FITS];
  expect(wideLines(page.join("\n"), "page")).toEqual([1, 7]);
});

it("finds nothing here", () => {
  expect(checkProseWidth()).toMatchObject({ code: 0 });
});
