/**
 * Hides a word in what models say, in streams too: of each chunk it holds back as much as could be the beginning of the
 * word, and puts it before the next one.
 */
import type { Plugin } from "edgeplane-plugin";

export default {
  setup: ({ config }) => ({
    screenOutput({ part, output, held }) {
      if (typeof output !== "string" && output !== null) return { verdict: "continue" };
      const text = ((held ?? "") + (output ?? "")).replaceAll(config.codename, "█");
      const kept = part === "chunk" ? beginningAtEnd(text, config.codename) : "";
      const findings = text.includes("█") ? [{ category: "secret", rule: "codename" }] : [];
      return {
        verdict: "continue",
        subject: { output: text.slice(0, text.length - kept.length) },
        held: kept,
        findings,
      };
    },
  }),
} satisfies Plugin<{ codename: string }>;

/** The longest end of `text` that `word` begins with. */
function beginningAtEnd(text: string, word: string): string {
  for (let length = Math.min(text.length, word.length - 1); length > 0; length -= 1) {
    if (text.endsWith(word.slice(0, length))) return word.slice(0, length);
  }
  return "";
}
