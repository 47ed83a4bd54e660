/** The fenced blocks of a page that can be run, and a `curl` that takes an error for a failure. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

export const root = join(import.meta.dirname, "../..");

/** Where the snippets of each page are run; of the others, why not. */
export const pages = {
  /** Against the stack that clients meet, in this order: test/clients/snippets.test.ts. */
  clients: [
    "README.md",
    "docs/cli.md",
    // docs/api.md deletes the prediction that this one asks about.
    "docs/webhooks.md",
    "docs/api.md",
    "docs/versions.md",
    "docs/migrate-from-replicate.md",
    "docs/operate.md",
    "docs/kafka.md",
    "docs/files.md",
    "docs/queue.md",
    "docs/usage.md",
    "docs/plugins.md",
    "docs/write-a-plugin.md",
    "docs/gpu-pool.md",
    "docs/deploy.md",
  ],
  /** Over a real Kafka and a real Redis: test/conformance/bridge/pages.engine.test.ts. */
  engines: ["docs/bridge.md", "docs/move-the-log.md"],
  /** The model of its first snippet, on a pool: test/integration/pool/page.test.ts. */
  pool: ["docs/models.md"],
  notRun: {
    "docs/chaos.md": "its commands are the chaos parts of CI",
    "docs/scaling.md": "scripts/simulate.test.ts runs its command, over a smaller trace",
    "docs/self-host.md": "test/self-host runs its commands, as a service and beside it",
    "docs/soak.md": "its commands are the soak part of CI",
    "docs/security.md": "its commands are the fuzzing part of CI",
    "docs/delivery.md":
      "it needs a deployed edge; test/integration/pool/kv.engine.test.ts runs its flags over a bridge",
  },
} as const;

export type Snippet = { page: string; line: number; language: string; code: string };

/** In the order of the page. */
export function snippetsOf(page: string): Snippet[] {
  const text = readFileSync(join(root, page), "utf8");
  const blocks = [...text.matchAll(/^```(sh|js|python)\n([\s\S]*?)^```$/gm)];
  return blocks.map(({ 1: language = "", 2: code = "", index }) => ({
    page,
    line: text.slice(0, index).split("\n").length,
    language,
    code,
  }));
}

/** A folder within `dir` with a `curl` that fails when the answer is an error, where the page's own doesn't. */
export function strictCurl(dir: string): string {
  const bin = join(dir, "bin");
  mkdirSync(bin);
  const real = (process.env["PATH"] ?? "").split(delimiter).map((folder) => `"${folder}/curl"`);
  const script = `#!/bin/sh\ncase " $* " in *" -sf "*) ;; *) set -- --fail-with-body "$@" ;; esac\nfor curl in ${real.join(" ")}; do [ -x "$curl" ] && exec "$curl" "$@"; done\nexit 127\n`;
  writeFileSync(join(bin, "curl"), script);
  chmodSync(join(bin, "curl"), 0o755);
  return bin;
}
