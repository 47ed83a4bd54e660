/**
 * `--help` of a benchmark: the comment that its file begins with tells what it does, and its options with their
 * defaults.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Prints the comment of the file `url` and exits, when `--help` or `-h` was asked for. */
export function offerHelp(url: string): void {
  if (!process.argv.includes("--help") && !process.argv.includes("-h")) return;
  const [, comment = ""] = /^\/\*\*(.*?)\*\//s.exec(readFileSync(fileURLToPath(url), "utf8")) ?? [];
  console.log(comment.replaceAll(/^ ?\* ?/gm, "").trim());
  process.exit(0);
}
