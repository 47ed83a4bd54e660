import { describe, expect, it } from "vitest";
import { isResidentId, passesLuhn } from "./digit-patterns.ts";
import { remainderBy97 } from "./iban.ts";
import { patternNames } from "./pattern.ts";
import type { RuleSet } from "./rules.ts";
import { findAll } from "./scan-text.ts";
import { threadCpuMs } from "../../test/unit/thread-time.ts";

const rules: RuleSet = {
  words: null,
  wordRules: [],
  patterns: Object.fromEntries(patternNames.map((name) => [name, "tag"])),
};

const find = (text: string): string[] =>
  findAll(rules, text).map(({ category, rule, start, end }) => `${category} ${rule}: ${text.slice(start, end)}`);

describe("what is told by its digits", () => {
  it.each([
    ["pay with 4111 1111 1111 1111.", ["card visa: 4111 1111 1111 1111"]],
    ["5555-5555-5555-4444,378282246310005", ["card mastercard: 5555-5555-5555-4444", "card amex: 378282246310005"]],
    [
      "６２０００００００００００００５ 4\u200b111111111111111",
      ["card unionpay: ６２０００００００００００００５", "card visa: 4\u200b111111111111111"],
    ],
    ["12 4111111111111111", ["card visa: 4111111111111111"]],
    ["4111 1111 1111 1112, 1234567890123452, 41111111111111111, a4111111111111111", []],
    ["身份证11010519491231002X，", ["resident_id cn: 11010519491231002X"]],
    ["110105194912310021 11010519490231002X", []],
    ["call +1 (415) 555-2671 or +86 138 0013 8000", ["phone e164: +1 (415) 555-2671", "phone e164: +86 138 0013 8000"]],
    ["打13800138000，或者 138-0013-8000", ["phone cn: 13800138000", "phone cn: 138-0013-8000"]],
    ["(212) 555-0123 212-555-0123 2125550123", ["phone nanp: (212) 555-0123", "phone nanp: 212-555-0123"]],
    ["in 1999, 2,500,000 people; 3.14159265358979; 2026-11-28 20:15:44; 192.168.100.200", []],
    ["seed 1763409600000 tokens 123456789012", []],
  ])("%j", (text, expected) => {
    expect(find(text)).toEqual(expected);
  });

  it("has its check digits right", () => {
    expect([passesLuhn("79927398713"), passesLuhn("79927398710")]).toEqual([true, false]);
    expect([isResidentId("11010519491231002X"), isResidentId("110105194912310020")]).toEqual([true, false]);
    expect([remainderBy97("GB82WEST12345698765432"), remainderBy97("GB82WEST12345698765433")]).toEqual([1, 28]);
  });
});

describe("accounts and addresses", () => {
  it.each([
    [
      "IBAN DE89 3704 0044 0532 0130 00, GB82WEST12345698765432",
      ["iban iban: DE89 3704 0044 0532 0130 00", "iban iban: GB82WEST12345698765432"],
    ],
    ["DE89370400440532013001 XX89370400440532013000", []],
    ["mail bob.smith+x@mail.example.co.uk.", ["email email: bob.smith+x@mail.example.co.uk"]],
    ["<a_b@x-y.example> b＠c.example", ["email email: a_b@x-y.example", "email email: b＠c.example"]],
    ["@user a@b a@b.c a@.com @@ 5 @ 3.50 a@b.1x", []],
  ])("%j", (text, expected) => {
    expect(find(text)).toEqual(expected);
  });
});

describe("keys", () => {
  const body = "Abcd1234Efgh5678Ijkl9012Mnop3456Qrst7890";
  it.each([
    [`OPENAI_API_KEY=sk-${body}`, `openai: sk-${body}`],
    [`"sk-ant-api03-${body}"`, `anthropic: sk-ant-api03-${body}`],
    ["id AKIAIOSFODNN7EXAMPLE;", "aws: AKIAIOSFODNN7EXAMPLE"],
    [`ghp_${body}`, `github: ghp_${body}`],
    [`token r8_${body}`, `replicate: r8_${body}`],
    [`Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${body}`, `jwt: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${body}`],
    [
      `-----BEGIN RSA PRIVATE KEY-----\n${body}\n-----END RSA PRIVATE KEY-----\n`,
      `private_key: -----BEGIN RSA PRIVATE KEY-----\n${body}\n-----END RSA PRIVATE KEY-----`,
    ],
  ])("%j", (text, expected) => {
    expect(find(text)).toEqual([`api_key ${expected}`]);
  });

  it.each([
    `risk-${body}`,
    "sk-learn",
    "akiaiosfodnn7example",
    `xghp_${body}`,
    "eyJhbGciOi",
    "-----BEGIN CERTIFICATE-----\nMIIB",
  ])("none in %j", (text) => {
    expect(find(text)).toEqual([]);
  });
});

describe("time", () => {
  it("grows with the length of a text, whatever is in it", () => {
    const hostile = [
      "1 ",
      "4111-",
      "+1",
      "a@",
      "@",
      "a.",
      "sk-",
      "-----BEGIN ",
      "DE89 ",
      "eyJ.",
      "(2",
      "11010519491231002",
      "a".repeat(70) + "@",
    ];
    for (const piece of hostile) {
      const text = piece.repeat(Math.ceil(50_000 / piece.length));
      const startedAt = threadCpuMs();
      findAll(rules, text);
      expect(threadCpuMs() - startedAt, piece).toBeLessThan(4000);
    }
  });
});
