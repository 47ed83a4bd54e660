/** Line plots as SVG, for a page that needs nothing besides itself. */

export type Series = { name: string; points: readonly (readonly [x: number, y: number])[] };

const WIDTH = 560;
const HEIGHT = 300;
const MARGIN = { left: 62, right: 16, top: 14, bottom: 46 };
const COLORS = ["#c2410c", "#6b7280", "#1d4ed8"];
const TICKS = 5;

export type PlotOptions = {
  xTitle: string;
  yTitle: string;
  /** The y axis is logarithmic. */
  isLog?: boolean;
};

export function linePlot(series: readonly Series[], { xTitle, yTitle, isLog = false }: PlotOptions): string {
  const points = series.flatMap((one) => one.points);
  const [xMost, yMost] = [0, 1].map((index) => Math.max(...points.map((point) => point[index] ?? 0)));
  const yLeast = isLog ? Math.min(...points.map(([, y]) => y)) : 0;
  const xOf = (x: number): number => MARGIN.left + (x / (xMost ?? 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const scale = isLog ? Math.log : (y: number): number => y;
  const yOf = (y: number): number => {
    const share = (scale(y) - scale(yLeast)) / (scale(yMost ?? 1) - scale(yLeast) || 1);
    return HEIGHT - MARGIN.bottom - share * (HEIGHT - MARGIN.top - MARGIN.bottom);
  };
  const ticks = Array.from({ length: TICKS + 1 }, (_, index) => index / TICKS);
  const yTicks = ticks.map((share) => (isLog ? yLeast * ((yMost ?? 1) / yLeast) ** share : share * (yMost ?? 1)));
  const text = (x: number, y: number, content: string, more = ""): string =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="11" fill="#374151" ${more}>${content}</text>`;
  const grid = yTicks.map((y) => {
    const at = yOf(y).toFixed(1);
    const line = `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}" stroke="#e5e7eb"/>`;
    return line + text(MARGIN.left - 6, yOf(y) + 4, short(y), 'text-anchor="end"');
  });
  const below = ticks.map((share) => {
    const x = share * (xMost ?? 1);
    return text(xOf(x), HEIGHT - MARGIN.bottom + 16, short(x), 'text-anchor="middle"');
  });
  const lines = series.map(({ name, points: line }, index) => {
    const path = line.map(([x, y], place) => `${place === 0 ? "M" : "L"}${xOf(x).toFixed(1)} ${yOf(y).toFixed(1)}`);
    const color = COLORS[index % COLORS.length] ?? "#000";
    const label = text(MARGIN.left + 10, MARGIN.top + 14 + 15 * index, name, `style="fill:${color};font-weight:600"`);
    return `<path d="${path.join("")}" fill="none" stroke="${color}" stroke-width="2"/>${label}`;
  });
  const titles = [
    text(WIDTH / 2, HEIGHT - 8, xTitle, 'text-anchor="middle"'),
    text(14, HEIGHT / 2, yTitle, `text-anchor="middle" transform="rotate(-90 14 ${HEIGHT / 2})"`),
  ];
  const inside = [...grid, ...below, ...lines, ...titles].join("\n");
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">\n${inside}\n</svg>`;
}

function short(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(0)}k`;
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(2);
}
