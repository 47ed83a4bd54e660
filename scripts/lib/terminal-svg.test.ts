import { expect, test } from "vitest";
import { terminalSvg } from "./terminal-svg.ts";

test("each line is drawn below the one before, with its signs, and what it says is no markup", () => {
  const svg = terminalSvg([
    { kind: "command", text: "$ edgeplane <x> & y" },
    { kind: "output", text: "✓ well" },
    { kind: "output", text: "  → mend" },
  ]);
  expect(svg).toContain("<title>$ edgeplane &lt;x&gt; &amp; y</title>");
  expect(svg).toContain('<tspan fill="#3fb950">✓</tspan> well');
  expect(svg).toContain('  <tspan fill="#d29922">→</tspan> mend');
  expect([...svg.matchAll(/<text x="16" y="(\d+)"/g)].map(([, y]) => Number(y))).toEqual([30, 50, 70]);
});
