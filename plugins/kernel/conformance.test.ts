import { describe, expect, it } from "vitest";
import { aCall, frozen, verdictSchema } from "./conformance.ts";
import type { Phase } from "./phases.ts";

const reservation = { service: "allowance", id: "r", data: { n: 1 } };
const refusal = { verdict: "reject", code: "rejected_by_policy", message: "No." };

const accepted: [string, Phase, boolean, unknown][] = [
  ["a bare `continue`", "onResult", false, { verdict: "continue" }],
  ["a changed subject", "screenInput", true, { verdict: "continue", subject: aCall() }],
  ["a reservation of `admit`", "admit", false, { verdict: "continue", reservation }],
  ["what is held of a stream", "screenOutput", true, { verdict: "continue", held: "abc" }],
  ["a refusal with a finding", "admit", false, { ...refusal, findings: [{ category: "pii", rule: "card" }] }],
];
const refused: [string, Phase, boolean, unknown][] = [
  ["nothing", "admit", true, undefined],
  ["no verdict", "admit", true, { ok: true }],
  ["a subject of one that only judges", "screenInput", false, { verdict: "continue", subject: aCall() }],
  ["a reservation of another phase", "screenInput", true, { verdict: "continue", reservation }],
  ["a service that isn't there", "admit", true, { verdict: "continue", reservation: { ...reservation, service: "x" } }],
  ["a code that isn't in the table", "admit", true, { ...refusal, code: "no_such_code" }],
  ["a refusal without words", "admit", true, { ...refusal, message: "" }],
  ["a text for a rule", "admit", true, { ...refusal, findings: [{ category: "x", rule: "y".repeat(101) }] }],
  ["a header with a line of its own", "admit", true, { verdict: "continue", headers: { "x\r\ny": "1" } }],
];

describe("the conformance suite", () => {
  it.each(accepted)("takes %s", (_case, phase, mutates, verdict) => {
    expect(verdictSchema(phase, mutates).safeParse(verdict).success).toBe(true);
  });

  it.each(refused)("fails a plugin that answers %s", (_case, phase, mutates, verdict) => {
    expect(verdictSchema(phase, mutates).safeParse(verdict).success).toBe(false);
  });

  it("gives subjects that throw at a change, all the way down", () => {
    const subject = frozen(aCall({ messages: [{ content: "a" }] }));
    const [message] = subject.input["messages"] as { content: string }[];
    expect(() => {
      if (message !== undefined) message.content = "b";
    }).toThrow(TypeError);
    expect(() => {
      subject.lane = "other";
    }).toThrow(TypeError);
    expect(subject).toEqual(aCall({ messages: [{ content: "a" }] }));
  });
});
