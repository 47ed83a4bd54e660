/**
 * `/docs/usage`: an account's usage as a page: sums by hour, day or month, told apart as its reader wants, and the same
 * as a table to keep. It asks `/v1/usage` with the key that is typed in, or `/admin/v1/usage` for another account's.
 */
import { dimensionNames } from "../../metering/sums.ts";
import { spans } from "../../metering/usage-query.ts";
import { htmlPage, wideTable } from "./page.ts";

/** What runs in the browser. The key stays in the page's memory, and what is shown is set as text. */
export const SCRIPT = `
const at = (id) => document.getElementById(id);
const columns = [
  ["from", "From"], ["model", "Model"], ["key", "Key"], ["device", "Device"], ["deployment", "Deployment"],
  ["phase", "Phase"], ["requests", "Requests"], ["billed", "Billed"], ["run_ms", "Run, ms"],
  ["gpu_us", "Device time of runs, µs"], ["instance_us", "Device time of instances, µs"], ["units", "Units"],
  ["cost", "Cost"], ["currency", "Currency"],
];
const dimensions = ${JSON.stringify(dimensionNames)};
function query(cursor) {
  const asked = new URLSearchParams({ by: at("by").value, limit: "1000" });
  const group = dimensions.filter((name) => at("group-" + name).checked);
  if (group.length > 0) asked.set("group", group.join(","));
  for (const name of ["from", "to", "model", "account"]) if (at(name).value !== "") asked.set(name, at(name).value);
  if (cursor) asked.set("cursor", cursor);
  return asked;
}
async function ask(accept, cursor) {
  const path = at("account").value === "" ? "/v1/usage" : "/admin/v1/usage";
  const headers = { authorization: "Bearer " + at("key-text").value, accept };
  const response = await fetch(path + "?" + query(cursor), { headers });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Error(response.status + ": " + (problem.detail || problem.title || response.statusText));
}
function row(cell, texts) {
  const line = document.createElement("tr");
  for (const text of texts) {
    const one = document.createElement(cell);
    one.textContent = text;
    line.append(one);
  }
  return line;
}
function shown(value) {
  return value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
}
async function show() {
  at("sums").replaceChildren();
  const sums = [];
  let cursor = null;
  do {
    const page = await (await ask("application/json", cursor)).json();
    sums.push(...page.results);
    cursor = page.next_cursor;
  } while (cursor !== null);
  const used = columns.filter(([name]) => !dimensions.includes(name) || at("group-" + name).checked);
  const lines = sums.map((sum) => row("td", used.map(([name]) => shown(sum[name]))));
  if (sums.length === 0) return "Nothing was used.";
  at("sums").replaceChildren(row("th", used.map(([, title]) => title)), ...lines);
  return sums.length === 1 ? "1 sum." : sums.length + " sums.";
}
async function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await ask("text/csv", null)).blob());
  link.download = "usage.csv";
  link.click();
  return "Saved.";
}
async function run(work) {
  at("said").textContent = "…";
  at("said").textContent = await work().catch((error) => error.message);
}
at("ask").addEventListener("submit", (event) => { event.preventDefault(); void run(show); });
at("csv").addEventListener("click", () => void run(save));
`;

const option = (name: string): string => `<option${name === "day" ? " selected" : ""}>${name}</option>`;
const box = (name: string): string =>
  `<label><input type="checkbox" id="group-${name}"${name === "model" ? " checked" : ""}> ${name}</label>`;
const field = (name: string, label: string, more = ""): string =>
  `<label>${label} <input id="${name}" ${more}></label>`;

const BODY = `<h1>Usage</h1>
<p>Sums of what an account used, and what it cost. Your own need a key with <code>account:read</code>. Another account's,
or <code>overhead</code>, need the operator's key, and its name or id.</p>
<form id="ask">
<p>${field("key-text", "Key", 'type="password" autocomplete="off" required')} ${field("account", "Account of another")}</p>
<p><label>By <select id="by">${spans.map(option).join("")}</select></label>
${field("from", "From", 'type="date"')} ${field("to", "to before", 'type="date"')} ${field("model", "Only the model")}</p>
<p>Told apart by ${dimensionNames.map(box).join(" ")}</p>
<p><button>Show</button> <button type="button" id="csv">Save as CSV (FOCUS 1.2)</button> <output id="said"></output></p>
</form>
${wideTable("sums", "")}
<noscript>This page needs JavaScript; <code>GET /v1/usage</code> doesn't.</noscript>`;

export function usagePage(): Response {
  return htmlPage("Usage", BODY, SCRIPT);
}
