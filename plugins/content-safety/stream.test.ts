import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { patternNames } from "./pattern.ts";
import type { Action, RuleSet } from "./rules.ts";
import { emptyStream, push, readState, writeState } from "./stream.ts";
import { compileTerms } from "./compile-terms.ts";
import { WordScanner } from "./word-scanner.ts";
import { loadWordList } from "./word-list.ts";
import { threadCpuMs } from "../../test/unit/thread-time.ts";

const terms = ["slut", "fuck", "fucking", "ass", "wet dream", "s&m", "1488", "法轮功", "色情", "卖B", "🖕", "ban*"];

function rulesOf(action: Action): RuleSet {
  const entries = terms.map((text, rule) => ({ text, rule, anywhere: false }));
  const { buffer } = compileTerms(entries, 1 << 24);
  return {
    words: new WordScanner(loadWordList(buffer)),
    wordRules: terms.map((rule) => ({ category: "words", rule, action })),
    patterns: Object.fromEntries(patternNames.map((name) => [name, action])),
  };
}
const masking = rulesOf("mask");
const blocking = rulesOf("block");

function run(rules: RuleSet, chunks: readonly string[]) {
  let state = emptyStream;
  let out = "";
  const found = new Set<string>();
  for (const [index, chunk] of [...chunks, ""].entries()) {
    const pushed = push(rules, chunk, state, index === chunks.length);
    out += pushed.emit;
    for (const one of pushed.found) found.add(`${one.category} ${one.rule}`);
    if (pushed.blocked) return { out, found, blocked: true };
    state = readState(writeState(pushed.state));
  }
  return { out, found, blocked: false };
}

function cut(text: string, places: readonly number[]): string[] {
  const sorted = [...new Set(places.map((place) => place % (text.length + 1)))].sort((left, right) => left - right);
  return [0, ...sorted].map((from, index) => text.slice(from, sorted[index] ?? text.length));
}

const pieces = fc.constantFrom(
  ..."f u c k s l t a i n g I 1 ! $ @ b e".split(" "),
  ...[
    "fuck",
    "F.U.C.K",
    "f u c k",
    "fu ck",
    "ass",
    "a$$",
    "slut",
    "s1ut",
    "sIut",
    "wet  dream",
    "s&m",
    "1488",
    "ban",
    "banner",
  ],
  ...["法", "轮", "功", "法 轮*功", "色情", "色 情", "色*情", "卖b", "🖕", "，", "男性"],
  ...[" ", " ", " ", ".", ",", "-", "'", "\u200b", "\u0335", "\u0301", "\u00ad", "\ud83d", "\udd95", "\n", "    "],
  ...[
    "4111 1111 1111 1111",
    "4111111111111111",
    "11010519491231002X",
    "+14155552671",
    "13800138000",
    "7",
    "(212) 555-0123",
  ],
  ...["a@b.example", "bob.smith@mail.example.com", "@", "DE89 3704 0044 0532 0130 00", "DE", "GB"],
  ...[
    "sk-abcdefghijklmnopqrstuvwx",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3",
    "sk-",
  ],
  ...[
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----",
    "-----",
    "\u200b".repeat(70),
    "k".repeat(40),
  ],
);
const texts = fc.array(pieces, { maxLength: 24 }).map((parts) => parts.join(""));
const cuts = fc.array(fc.nat(400), { maxLength: 12 });

it("takes time by the length of a text, whatever is in it", () => {
  for (const piece of [
    "f.u.c.",
    "f ",
    "a s",
    "fu\u200b",
    "ass",
    "as s ",
    "法 轮 ",
    "s!u!t",
    "$",
    "1488 ",
    "ban",
    "l|1I",
  ]) {
    const text = piece.repeat(Math.ceil(50_000 / piece.length));
    const startedAt = threadCpuMs();
    run(masking, [text]);
    expect(threadCpuMs() - startedAt, piece).toBeLessThan(4000);
  }
});

describe("a text in chunks", () => {
  it("comes out the same however it is cut", () => {
    fc.assert(
      fc.property(texts, cuts, (text, places) => {
        const whole = run(masking, [text]);
        const chunked = run(masking, cut(text, places));
        expect({ text, ...chunked }).toEqual({ text, ...whole });
        expect(
          run(
            masking,
            Array.from({ length: text.length }, (_, at) => text.charAt(at)),
          ),
        ).toEqual(whole);
      }),
      { numRuns: 300, seed: 20_26 },
    );
  });

  it("lets nothing out from what is blocked on, however it is cut", () => {
    fc.assert(
      fc.property(texts, cuts, (text, places) => {
        const whole = run(blocking, [text]);
        const chunked = run(blocking, cut(text, places));
        expect({ text, out: chunked.out, blocked: chunked.blocked }).toEqual({
          text,
          out: whole.out,
          blocked: whole.blocked,
        });
        expect(whole.out).toBe(whole.blocked ? text.slice(0, whole.out.length) : text);
      }),
      { numRuns: 300, seed: 20_27 },
    );
  });
});
