/** Every `edgeplane …` that README and docs/ show is one that the command takes: by its name, arguments and options. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { expect, it } from "vitest";
import { processIo } from "./io.ts";
import { allOf, createProgram } from "./program.ts";

const root = join(import.meta.dirname, "..");

/** Made from the command itself. */
const GENERATED = "cli.md";
const pages = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)].filter(
  (page) => page.endsWith(".md") && page !== `docs/${GENERATED}`,
);

type Shown = { page: string; command: string };

/** Lines that are to be pasted, in fenced and in indented blocks. */
function linesOf(page: string, text: string): Shown[] {
  const lines = text.matchAll(/^ *(?:npx )?edgeplane ([^`\n]*)$/gm);
  return Array.from(lines, ([, command = ""]) => ({ page, command }));
}

/** What a sentence names, which may leave out arguments; `edgeplane is up` is what the deployment says. */
function mentionsOf(page: string, text: string): Shown[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, "");
  const mentions = prose.matchAll(/`(?:npx )?edgeplane ((?!is up)[^`]+)`/g);
  return Array.from(mentions, ([, command = ""]) => ({ page, command: command.replaceAll(/\s+/g, " ") }));
}

const all = (of: (page: string, text: string) => Shown[]): Shown[] =>
  pages.flatMap((page) => of(page, readFileSync(join(root, page), "utf8")));

/** As a shell splits it, up to a pipe or a comment. */
function wordsOf(command: string): string[] {
  const [first = ""] = command.split(/ (?:\||&&|#) /);
  return Array.from(first.matchAll(/'([^']*)'|"([^"]*)"|(?:[^\s"']|"[^"]*"|'[^']*')+/g), (word) => word[1] ?? word[0]);
}

/** The command with nothing to do. */
function idle(): Command {
  const program = createProgram(processIo());
  for (const command of allOf(program)) {
    command.configureOutput({ writeOut() {}, writeErr() {} });
    if (command.commands.length === 0) command.action(() => {});
  }
  return program;
}

it.each(all(linesOf))("$page: edgeplane $command", async ({ command }) => {
  await idle().parseAsync(wordsOf(command), { from: "user" });
});

it.each(all(mentionsOf))("$page mentions edgeplane $command", ({ command }) => {
  let named = idle();
  const options = new Set(named.options.map(({ long }) => long));
  for (const word of wordsOf(command).filter((one) => /^[a-z-]+$/.test(one))) {
    const below = named.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (below === undefined) continue;
    named = below;
    for (const { long } of named.options) options.add(long);
  }
  expect(named.name()).not.toBe("edgeplane");
  for (const word of wordsOf(command).filter((one) => one.startsWith("--"))) expect(options).toContain(word);
});

it("finds both kinds", () => {
  expect(all(linesOf)).toContainEqual({ page: "README.md", command: "push my-model" });
  expect(all(mentionsOf)).toContainEqual({ page: "README.md", command: "pool-tokens create box-1" });
});
