import { describe, expect, it } from "vitest";
import { endingOf, isBilled } from "./billed.ts";

const ran = { status: "failed", errorCode: null, attempt: 1, ran: true } as const;

describe("what is billed", () => {
  it.each([
    ["succeeded", { ...ran, status: "succeeded" }, true],
    ["cached", { ...ran, status: "succeeded", attempt: 0 }, false],
    ["canceled", { ...ran, status: "canceled" }, true],
    ["not_started", { ...ran, status: "canceled", attempt: 0 }, false],
    ["not_started", { ...ran, status: "canceled", ran: false }, false],
    ["not_started", { ...ran, status: "aborted" }, false],
    ["failed", { ...ran, errorCode: "model_error" }, true],
    ["failed", { ...ran, errorCode: "a_code_of_the_model" }, true],
    ["failed", { ...ran, errorCode: "constructor" }, true],
    ["timed_out", { ...ran, errorCode: "timed_out" }, true],
    ["refused_output", { ...ran, errorCode: "rejected_by_policy" }, true],
    ["crashed", { ...ran, errorCode: "guard_unavailable" }, false],
    ["crashed", { ...ran, errorCode: "model_crashed" }, false],
    ["interrupted", { ...ran, errorCode: "interrupted" }, false],
    ["lost", { ...ran, errorCode: "attempts_exhausted" }, false],
    ["released", { ...ran, errorCode: "setup_failed" }, false],
    ["question", { ...ran, status: "succeeded", isQuestion: true }, false],
  ] as const)("calls it %s: %j, billed: %s", (ending, end, billed) => {
    expect(endingOf(end)).toBe(ending);
    expect(isBilled(ending)).toBe(billed);
  });
});
