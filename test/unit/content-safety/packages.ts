/** The data of two packages: the words that are hidden, and the look-alikes that they are hidden with. */
import { createRequire } from "node:module";
import * as z from "zod";

const load = createRequire(import.meta.url);

export const terms: readonly string[] = [
  ...z.array(z.string()).parse(load("naughty-words/en.json")),
  ...z.array(z.string()).parse(load("naughty-words/zh.json")),
];

/** By character, what it looks like. */
export const lookAlikes: ReadonlyMap<string, string> = new Map(
  Object.entries(z.record(z.string(), z.string()).parse(load("unhomoglyph/data.json"))),
);
