/** Lines of a terminal as an SVG, readable on light pages and dark ones. */

export type TerminalLine = { kind: "command" | "output" | "passing"; text: string };

const CHAR_PX = 8.4;
const LINE_PX = 20;
const MARGIN_PX = 16;
const MIN_COLUMNS = 60;
const fills = { command: "#7ee787", output: "#e6edf3", passing: "#8b949e" } as const;
/** What begins a line of `edgeplane doctor`. */
const marks: readonly [string, string][] = [
  ["✓", "#3fb950"],
  ["✗", "#f85149"],
  ["→", "#d29922"],
];

export function terminalSvg(lines: readonly TerminalLine[]): string {
  const columns = Math.max(MIN_COLUMNS, ...lines.map(({ text }) => text.length));
  const width = Math.ceil(columns * CHAR_PX + 2 * MARGIN_PX);
  const height = lines.length * LINE_PX + 2 * MARGIN_PX;
  const rows = lines.map(({ kind, text }, index) => {
    const y = MARGIN_PX + index * LINE_PX + 14;
    return `  <text x="${MARGIN_PX}" y="${y}" fill="${fills[kind]}">${colored(text)}</text>`;
  });
  const title = escaped(lines[0]?.text ?? "a terminal");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">
  <title>${title}</title>
  <rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${rows.join("\n")}
</svg>
`;
}

function colored(text: string): string {
  const mark = marks.find(([sign]) => text.trimStart().startsWith(sign));
  if (mark === undefined) return escaped(text);
  const at = text.indexOf(mark[0]);
  return `${escaped(text.slice(0, at))}<tspan fill="${mark[1]}">${mark[0]}</tspan>${escaped(text.slice(at + 1))}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
