import { pino } from "pino";
import { expect, it } from "vitest";
import { createStateLines } from "./state-lines.ts";

it("tells of a refused model once, however often the channel is opened, and again when the reason changes", () => {
  const lines: string[] = [];
  const state = createStateLines(pino({}, { write: (line: string) => void lines.push(line) }), "https://edge");
  const refusal = { model: "acme/m", version: "a".repeat(64), reason: "not this owner" };
  state.models({ refusedModels: [refusal] });
  state.models({ refusedModels: [refusal] });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: 40, ...refusal });
  state.models({ refusedModels: [{ ...refusal, reason: "not this lane" }] });
  expect(lines).toHaveLength(2);
});
