/**
 * How fast words and patterns are found: 100,000 terms (generated, 60,000 Latin of three to five syllables, 40,000
 * Chinese of two to five characters) and all patterns, over the clean sentences of test/unit/content-safety. Beside
 * npm's mint-filter, an automaton of Aho and Corasick over the text as it stands, with the same terms. Times are the
 * process's CPU time; only the cold fetch is wall time.
 *
 *     node test/bench/content-safety.ts [--rounds 7]
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { compileTerms } from "../../plugins/content-safety/compile-terms.ts";
import { normalize } from "../../plugins/content-safety/normalize.ts";
import { patternNames } from "../../plugins/content-safety/pattern.ts";
import type { RuleSet } from "../../plugins/content-safety/rules.ts";
import { emptyStream, push } from "../../plugins/content-safety/stream.ts";
import { findAll } from "../../plugins/content-safety/scan-text.ts";
import { loadWordList } from "../../plugins/content-safety/word-list.ts";
import { WordScanner } from "../../plugins/content-safety/word-scanner.ts";
import { benchFolder, installPeers } from "./lib/bullmq.ts";
import { coldFetches } from "./lib/cold-list.ts";
import { offerHelp } from "./lib/help.ts";
import { judge, printJudged } from "./lib/limits.ts";
import { machine, versions } from "./lib/machine.ts";
import { median, spread } from "./lib/stats.ts";

offerHelp(import.meta.url);

const { values } = parseArgs({ options: { rounds: { type: "string", default: "7" } } });
const rounds = Number(values.rounds);
const TEXT_BYTES = 2_000_000;
const CHUNK_CHARACTERS = 20;

function corpus(name: string): string {
  const folder = new URL("../unit/content-safety/corpus/", import.meta.url);
  const once = readFileSync(new URL(`${name}.txt`, folder), "utf8").replaceAll("\n", " ");
  return once.repeat(Math.ceil(TEXT_BYTES / Buffer.byteLength(once)));
}

const texts = { English: corpus("speeches.en"), Chinese: corpus("everyday.zh") };

/** Numbers from 0 up to `limit`, the same in every run. */
let seed = 1;
function below(limit: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return (seed >>> 8) % limit;
}

function generateTerms(): string[] {
  const consonants = "bcdfghjklmnprstvwz";
  const vowels = "aeiou";
  const characters = [...new Set(texts.Chinese.replaceAll(/\P{Script=Han}/gu, ""))];
  const terms = new Set<string>();
  const pick = (from: ArrayLike<string>): string => from[below(from.length)] ?? "";
  while (terms.size < 60_000) {
    const syllables = Array.from(
      { length: 3 + below(3) },
      () => pick(consonants) + pick(vowels) + (below(3) === 0 ? pick(consonants) : ""),
    );
    terms.add(syllables.join(""));
  }
  while (terms.size < 100_000) terms.add(Array.from({ length: 2 + below(4) }, () => pick(characters)).join(""));
  return [...terms];
}

/** Milliseconds of CPU that `work` takes. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const used = process.cpuUsage(before);
  return (used.user + used.system) / 1000;
}

function streamAll(rules: RuleSet, text: string): void {
  let state = emptyStream;
  for (let at = 0; at < text.length; at += CHUNK_CHARACTERS) {
    state = push(rules, text.slice(at, at + CHUNK_CHARACTERS), state).state;
  }
}

installPeers("mint-filter");
console.log(`machine: ${machine()}`);
console.log(`versions: ${versions(["mint-filter"], benchFolder)}`);

const terms = generateTerms();
const entries = terms.map((text) => ({ text, rule: 0, anywhere: false }));
let buffer = new ArrayBuffer(0);
const compileMs = cpuMs(() => {
  buffer = compileTerms(entries, 16 * 1_048_576).buffer;
});
const words = new WordScanner(loadWordList(buffer));
const wordRules = [{ category: "words", rule: "list", action: "tag" as const }];
const wordsOnly: RuleSet = { words, wordRules, patterns: {} };
const patterns = Object.fromEntries(patternNames.map((name) => [name, "tag" as const]));
const all: RuleSet = { words, wordRules, patterns };

const load = createRequire(`${benchFolder}/package.json`);
const { Mint } = load("mint-filter") as {
  Mint: new (terms: string[]) => { filter(text: string, options: object): unknown };
};
let mint = new Mint([]);
const mintBuildMs = cpuMs(() => {
  mint = new Mint(terms);
});

const loads = Array.from({ length: rounds * 5 }, () => cpuMs(() => loadWordList(buffer)));
const sides = {
  "words, text normalized before": (text: string): number => {
    const normalized = normalize(text);
    return cpuMs(() => words.scan(normalized, 0, true));
  },
  "words, with normalization": (text: string): number => cpuMs(() => findAll(wordsOnly, text)),
  "words and patterns": (text: string): number => cpuMs(() => findAll(all, text)),
  [`words and patterns, streamed in chunks of ${CHUNK_CHARACTERS}`]: (text: string): number =>
    cpuMs(() => streamAll(all, text)),
  "mint-filter, the text as it stands": (text: string): number => cpuMs(() => mint.filter(text, { replace: false })),
};
const limits: Readonly<Record<string, number>> = {
  "words, text normalized before": 50,
  "words, with normalization": 10,
};

const rates = new Map<string, number[]>();
for (let round = -1; round < rounds; round += 1) {
  for (const [language, text] of Object.entries(texts)) {
    const megabytes = Buffer.byteLength(text) / 1_000_000;
    for (const [side, run] of Object.entries(sides)) {
      const key = `${language} ${side}`;
      const rate = megabytes / (run(text) / 1000);
      // The first round warms up.
      if (round >= 0) rates.set(key, [...(rates.get(key) ?? []), rate]);
    }
  }
}

const rows = Object.keys(texts).flatMap((language) => {
  const peer = median(rates.get(`${language} mint-filter, the text as it stands`) ?? []);
  return Object.keys(sides).map((side) => {
    const own = rates.get(`${language} ${side}`) ?? [];
    const must = limits[side];
    const judged = must === undefined ? "" : judge(median(own), { must, isFloor: true, unit: " MB/s" });
    return [`${language}: ${side}`, spread(own), `${(median(own) / peer).toFixed(2)}×`, judged];
  });
});
const isFast = printJudged(["", "MB/s (UTF-8)", "of mint-filter's", "must"], rows);
const cold = await coldFetches(buffer, terms.length, rounds);
const mebibytes = buffer.byteLength / 1_048_576;
const isSmall = printJudged(
  ["100,000 terms", "", "must"],
  [
    ["buffer, MiB", mebibytes.toFixed(2), judge(mebibytes, { must: 16, unit: " MiB" })],
    ["loaded from the buffer, ms", spread(loads, 2), judge(median(loads), { must: 5, unit: " ms" })],
    ["read from object storage by workerd and loaded, ms", spread(cold), ""],
    ["compiled, ms", compileMs.toFixed(0), ""],
    ["mint-filter's built, ms", mintBuildMs.toFixed(0), ""],
  ],
);
process.exitCode = isFast && isSmall ? 0 : 1;
