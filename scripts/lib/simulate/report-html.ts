/** The comparison as one page that needs nothing else: per case, cost against p95 wait, and machines over time. */
import { frontier } from "./compare.ts";
import type { CaseResult, Outcome } from "./case.ts";
import { nameOf, summary } from "./report-text.ts";
import type { Compared } from "./report-text.ts";

const [WIDTH, HEIGHT, MARGIN] = [460, 300, 46];
const MIN_WAIT_S = 0.1;
/** More samples than this would fall on one point of the picture. */
const DRAWN_EVERY = 4;
const palette = ["#8f6d31", "#3b7a57", "#6a4c93", "#a63d40", "#2f6690", "#d1802b", "#7d8597", "#444444"];

export function page(cases: readonly Compared[]): string {
  const sections = cases.map(({ result }) => section(result)).join("\n");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Scaling rules compared</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222; }
svg { background: #fafafa; border: 1px solid #ddd; margin: 0 .6rem .6rem 0; } svg text { font-size: 11px; fill: #444; }
.pair { display: flex; flex-wrap: wrap; }
</style></head><body>
<h1>Scaling rules compared</h1>
<p>${summary(cases).replaceAll("\n", "<br>")}</p>
<p>Left: cost against the p95 wait, both logarithmic. Lines join a rule's settings that no other of its settings beats; a
ring marks its published defaults; crosses are the lower bound. Right: machines (line) and requests that wait (area) over
time, as Edgeplane decided for a p95 wait of 30 s.</p>
${sections}
</body></html>
`;
}

function section(result: CaseResult): string {
  return `<h2>${escape(nameOf(result))}</h2>\n<div class="pair">${costPlot(result)}${timePlot(result)}</div>`;
}

function costPlot({ rivals, ours, bounds }: CaseResult): string {
  const all = [...rivals, ...ours].filter(({ p95S }) => p95S < 20_000);
  const x = logScale(
    all.map(({ p95S }) => Math.max(MIN_WAIT_S, p95S)),
    MARGIN,
    WIDTH - 12,
  );
  const y = logScale([...all.map(({ cost }) => cost), ...bounds.map(({ cost }) => cost)], HEIGHT - MARGIN, 12);
  const at = ({ p95S, cost }: Pick<Outcome, "p95S" | "cost">): string =>
    `${x.at(Math.max(MIN_WAIT_S, p95S)).toFixed(1)},${y.at(cost).toFixed(1)}`;
  const rules = [...new Set(rivals.map(({ rule }) => rule))];
  const lines = rules.map((rule, i) => {
    const color = palette[i % palette.length] ?? "#444";
    const own = all.filter((outcome) => outcome.rule === rule);
    const points = frontier(own).map(at).join(" ");
    const rings = own
      .filter(({ isDefault }) => isDefault)
      .map((outcome) => ring(at(outcome), color))
      .join("");
    return `<polyline points="${points}" fill="none" stroke="${color}"/>${rings}<text x="${WIDTH - 140}" y="${24 + 14 * i}" style="fill:${color}">${escape(rule)}</text>`;
  });
  const own = `<polyline points="${frontier(ours).map(at).join(" ")}" fill="none" stroke="#000" stroke-width="2.5"/><text x="${WIDTH - 140}" y="${24 + 14 * rules.length}" style="font-weight:bold">Edgeplane</text>`;
  const crosses = bounds.map(({ targetS, cost }) => cross(x.at(targetS), y.at(cost))).join("");
  return plot("p95 wait, s", "cost", `${x.ticks("x")}${y.ticks("y")}${lines.join("")}${own}${crosses}`);
}

function timePlot({ drawn, scenario }: CaseResult): string {
  const everyS = drawn.everyS * DRAWN_EVERY;
  const [machines, waiting] = [drawn.machines, drawn.waiting].map((all) => all.filter((_, i) => i % DRAWN_EVERY === 0));
  if (machines === undefined || waiting === undefined) return "";
  const most = Math.max(1, ...machines);
  const mostWaiting = Math.max(1, ...waiting);
  const xAt = (i: number): number => MARGIN + ((WIDTH - MARGIN - 12) * i) / Math.max(1, machines.length - 1);
  const yAt = (share: number): number => HEIGHT - MARGIN - (HEIGHT - MARGIN - 12) * share;
  const path = (values: readonly number[], top: number): string =>
    values.map((value, i) => `${xAt(i).toFixed(1)},${yAt(value / top).toFixed(1)}`).join(" ");
  const area = `<polygon points="${xAt(0)},${yAt(0)} ${path(waiting, mostWaiting)} ${xAt(waiting.length - 1)},${yAt(0)}" fill="#d1802b55"/>`;
  const line = `<polyline points="${path(machines, most)}" fill="none" stroke="#000"/>`;
  const words = `<text x="${MARGIN + 4}" y="22">at most ${most} machines of ${scenario.slots}, ${mostWaiting} waiting</text>`;
  return plot(
    `${(everyS * machines.length) / 3600 < 3 ? "" : "hours, "}whole trace`,
    "machines",
    `${area}${line}${words}`,
  );
}

function plot(xLabel: string, yLabel: string, inside: string): string {
  return `<svg width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}">${inside}<text x="${WIDTH / 2}" y="${HEIGHT - 8}">${xLabel}</text><text x="6" y="12">${yLabel}</text></svg>`;
}

type Scale = { at(value: number): number; ticks(axis: "x" | "y"): string };

function logScale(values: readonly number[], from: number, to: number): Scale {
  const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values) * 1.02)];
  const at = (value: number): number => from + ((to - from) * (Math.log10(value) - low)) / Math.max(1e-9, high - low);
  const ticks = (axis: "x" | "y"): string => {
    const steps = Array.from({ length: 14 }, (_, i) => i - 4).flatMap((power) =>
      [1, 2, 5].map((digit) => digit * 10 ** power),
    );
    const shown = steps.filter((step) => Math.log10(step) >= low && Math.log10(step) <= high);
    return shown.map((step) => tick(axis, at(step), step)).join("");
  };
  return { at, ticks };
}

function tick(axis: "x" | "y", at: number, value: number): string {
  const label = Number(value.toPrecision(3));
  return axis === "x"
    ? `<text x="${at.toFixed(1)}" y="${HEIGHT - MARGIN + 16}" text-anchor="middle">${label}</text>`
    : `<text x="${MARGIN - 6}" y="${at.toFixed(1)}" text-anchor="end">${label}</text>`;
}

function ring(at: string, color: string): string {
  const [x, y] = at.split(",");
  return `<circle cx="${x}" cy="${y}" r="5" fill="none" stroke="${color}" stroke-width="2"/>`;
}

function cross(x: number, y: number): string {
  return `<path d="M${x - 4},${y}H${x + 4}M${x},${y - 4}V${y + 4}" stroke="#c00" stroke-width="1.5"/>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
