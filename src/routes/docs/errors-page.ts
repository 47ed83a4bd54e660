/** `/docs/errors`: all codes with cause and remedy, from the table of errors. */
import { errorTable } from "../../contract/errors.ts";
import { htmlPage, inlineHtml, wideTable } from "./page.ts";

export function errorsPage(): Response {
  const rows = Object.entries(errorTable).map(([code, { status, title, cause, remedy }]) => {
    const cells = [String(status), `\`${code}\``, title, cause, remedy].map((text) => `<td>${inlineHtml(text)}</td>`);
    return `<tr id="${code}">${cells.join("")}</tr>`;
  });
  const head = ["Status", "Code", "Means", "Cause", "Remedy"].map((text) => `<th>${text}</th>`).join("");
  return htmlPage(
    "Errors · Edgeplane",
    `<h1>Errors</h1><p>${inlineHtml("Every refusal has one of these as its `code`; a prediction that ended without success has one as its `error_code`.")}</p>
    ${wideTable("errors", `<thead><tr>${head}</tr></thead><tbody>${rows.join("")}</tbody>`)}`,
  );
}
