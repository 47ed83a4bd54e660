/** Comments and pages whose lines are too wide to be read at a glance. */
import { globSync, readFileSync } from "node:fs";

const WIDTH = 120;
const SOURCES = [
  "*.{ts,toml}",
  "{src,plugins,gpu-pool,scripts,cli,provider,test,examples,deploy}/**/*.{ts,tsx,mjs,py,sh,yaml,yml}",
];
const PAGES = ["*.md", "{docs,plugins,gpu-pool,cli,provider,deploy,test,examples}/**/*.md"];
const COMMENT = /^\s*(?:\/\/|\/?\*|#)/;
/** A page's code begins or ends here; so does a text of Python's. */
const TURNS = { page: /^\s*```/g, python: /"""/g } as const;
/** Rows of tables, pictures and what has no space in it can't be wrapped. */
const UNBREAKABLE = /^\s*(?:\||!\[|\S+$)/;

/** The lines of prose that are too wide, each by its number: comments and texts of a source, all but code of a page. */
export function wideLines(text: string, kind: "page" | "python" | "script"): number[] {
  let isInside = false;
  return text.split("\n").flatMap((line, index) => {
    const turns = kind === "script" ? 0 : (line.match(TURNS[kind])?.length ?? 0);
    const isTouched = isInside || turns > 0;
    if (turns % 2 === 1) isInside = !isInside;
    const isProse = kind === "page" ? !isTouched : isTouched || COMMENT.test(line);
    // Characters, as an editor counts columns.
    return isProse && Array.from(line).length > WIDTH && !UNBREAKABLE.test(line) ? [index + 1] : [];
  });
}

export function checkProseWidth(): { code: number; output: string } {
  const exclude = (path: string): boolean => path.includes("node_modules");
  const files = globSync([...SOURCES, ...PAGES], { exclude }).toSorted();
  const wide = files.flatMap((file) =>
    wideLines(readFileSync(file, "utf8"), kindOf(file)).map((line) => `${file}:${line}`),
  );
  if (wide.length === 0) return { code: 0, output: `${files.length} files` };
  return { code: 1, output: [`These lines are wider than ${WIDTH} columns; wrap them:`, ...wide].join("\n") };
}

function kindOf(file: string): "page" | "python" | "script" {
  if (file.endsWith(".md")) return "page";
  return file.endsWith(".py") ? "python" : "script";
}
