import { describe, expect, it } from "vitest";
import { compileTerms } from "./compile-terms.ts";
import { endOf, normalize } from "./normalize.ts";
import { loadWordList } from "./word-list.ts";
import { WordScanner } from "./word-scanner.ts";

function compiled(terms: readonly string[], anywhere = false): ArrayBuffer {
  const entries = terms.map((text, rule) => ({ text, rule, anywhere }));
  return compileTerms(entries, 1 << 24).buffer;
}

/** What is found in `text`, as it stands there. */
function finder(terms: readonly string[], anywhere = false) {
  const scanner = new WordScanner(loadWordList(compiled(terms, anywhere)));
  return (text: string): string[] => {
    const { matches } = scanner.scan(normalize(text), 0, true);
    return [...new Set(matches.map(({ start, end }) => text.slice(start, end)))];
  };
}

describe("a normalized text", () => {
  it.each([
    ["ＦｕＣＫ", "fuck"],
    ["f\u200bu\u0335c\u00adk\ufeff", "fuck"],
    ["ḟúçķ", "fuck"],
    ["𝓯𝖚𝕔𝚔 ⓕ🅤🄲 🇰", "fuck fuc k"],
    ["ꜰᴜᴄᴋ ғυсκ", "fuck ғuck"],
    ["ﬁne Straße œuvre", "fine strasse oeuvre"],
    ["法輪 ㍿", "法輪 株式会社"],
  ])("of %j is %j", (text, expected) => {
    const { symbols, length } = normalize(text);
    expect(String.fromCharCode(...symbols.subarray(0, length))).toBe(expected);
  });

  it("knows where each symbol came from", () => {
    const text = "\u200ba𝓫\u0301ﬁ🍆z";
    const normalized = normalize(text);
    const places = Array.from({ length: normalized.length }, (_, at) =>
      text.slice(normalized.starts[at] ?? 0, endOf(normalized, at)),
    );
    expect(places).toEqual(["a", "𝓫", "ﬁ", "ﬁ", "🍆", "z"]);
  });

  it("keeps 32 of a symbol that is repeated", () => {
    expect(normalize("a".repeat(100_000) + "b")).toMatchObject({ length: 33 });
  });

  it.each([
    ["a longer one", "a longer text before it"],
    ["one that grows", "ﷺ".repeat(300)],
    ["an empty one", ""],
  ])("leaves nothing of %s behind", (_what, before) => {
    normalize(before);
    const { symbols, ascii, starts, length } = normalize("short");
    expect([symbols, ascii, starts].map((array) => array.slice(length).every((one) => one === 0))).toEqual([
      ...[true, true, true],
    ]);
  });
});

describe("a term", () => {
  const find = finder([
    "ass",
    "shit",
    "slut",
    "fuck",
    "tits",
    "penis",
    "wet dream",
    "s&m",
    "1488",
    "法轮功",
    "性交",
    "他妈的",
    "卖B",
    "🖕",
  ]);

  it.each<[string, string[]]>([
    // Words of their own, and no parts of others.
    ["You ass! (ass) ass's", ["ass"]],
    ["Scunthorpe, class, assume, as sure, Passau, ass1, 2ass", []],
    ["他说ass了", ["ass"]],
    // Repeated.
    ["aSSSS shiiiiit", ["aSSSS", "shiiiiit"]],
    ["as shit is", ["shit"]],
    ["fuc shi", []],
    // Separated, and parted.
    ["f u c k f.u.c.k f_u_c_k f - u - c - k", ["f u c k", "f.u.c.k", "f_u_c_k", "f - u - c - k"]],
    ["fu ck sh it f*uck shi🍆t", ["fu ck", "sh it", "f*uck", "shi🍆t"]],
    ["the pen is mightier; let's hit it; the U.S. hit back; as she; it's hit or miss", []],
    // Look-alikes, digits and signs.
    ["sh!t $hit 5hit s|ut sIut a$$ @ss", ["sh!t", "$hit", "5hit", "s|ut", "sIut", "a$$", "@ss"]],
    ["s!h!i!t", ["s!h!i!t"]],
    ["a55 US$5 me@ss.com 7175 #a55a55 ass@x", ["ass"]],
    // Terms of several words, and literal ones.
    ["wet dream wet-dream wetdream", ["wet dream", "wet-dream", "wetdream"]],
    ["S&M but no sm, s m or s.m", ["S&M"]],
    ["1488 but not 14888, 1 488, 14.88", ["1488"]],
    ["🖕🏽 🍆", ["🖕"]],
    // Chinese.
    ["他练法轮功吗", ["法轮功"]],
    ["法*轮*功 法 轮 功 法轮·功 法\u200b轮功", ["法*轮*功", "法 轮 功", "法轮·功", "法\u200b轮功"]],
    ["法，轮。功", []],
    ["男性 交流 性，交 他妈妈的书 他妈 的", ["他妈 的"]],
    ["性*交 性 交", ["性*交", "性 交"]],
    ["他妈妈妈的", ["他妈妈妈的"]],
    ["卖b 卖B吗 卖Bag", ["卖b", "卖B"]],
  ])("in %j", (text, expected) => {
    expect(find(text)).toEqual(expected);
  });

  it("may go on where it has a star, and stand anywhere if its list says so", () => {
    expect(finder(["ban*", "*man"])("banner urban woman bans many")).toEqual(["ban", "man"]);
    expect(finder(["ass"], true)("class")).toEqual(["ass"]);
  });

  it("is at most 2,048 units of text", () => {
    expect(find(`fu${"\u200b".repeat(2000)}ck`)).toHaveLength(1);
    expect(find(`fu${"\u200b".repeat(2100)}ck`)).toHaveLength(0);
    expect(find(`fuck${"k".repeat(5000)}`)).toHaveLength(1);
  });

  it("that has nothing to look for, or is too long, is told", () => {
    const entries = ["***", "  ", "ab".repeat(65), "ok"].map((text, rule) => ({ text, rule, anywhere: false }));
    expect(compileTerms(entries, 1 << 24).faults.map(({ fault }) => fault)).toEqual(["empty", "empty", "too_long"]);
    expect(() => compileTerms(entries, 100)).toThrow(/at most/);
  });

  it("is found among many, each by itself", () => {
    const many = Array.from(
      { length: 5000 },
      (_, at) => `w${(at * 7919).toString(36).replaceAll(/[0-9]/g, (digit) => "qxzjkvwpyh"[Number(digit)] ?? "")}x`,
    );
    const distinct = [...new Set(many)];
    const scanner = new WordScanner(loadWordList(compiled(distinct)));
    for (const [rule, term] of distinct.entries()) {
      expect(scanner.scan(normalize(`a ${term} b`), 0, true).matches.map((match) => match.rule)).toContain(rule);
    }
  });
});

describe("a compiled list", () => {
  it("is refused when it is damaged, cut, of another format, or something else", () => {
    const buffer = compiled(["fuck", "shit"]);
    expect(() => loadWordList(buffer)).not.toThrow();
    for (let at = 0; at < buffer.byteLength; at += 4) {
      const damaged = buffer.slice(0);
      const words = new Int32Array(damaged);
      words[at / 4] = (words[at / 4] ?? 0) ^ 0x10000;
      // The last words of the heading are not in use.
      if (at < 36 || at >= 64) expect(() => loadWordList(damaged), `word ${at / 4}`).toThrow(/word list/);
    }
    expect(() => loadWordList(buffer.slice(0, 128))).toThrow(/word list/);
    expect(() => loadWordList(new ArrayBuffer(7))).toThrow(/word list/);
  });
});
