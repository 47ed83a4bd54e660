/**
 * Scripts written for Upstash on a stock Redis or Valkey. They may begin with `#!lua flags=allow-key-locking`, a flag
 * that only Upstash knows: it is taken out, and the SHA-1 of the script as the client has it is mapped to that of the
 * script as it runs.
 */
import { createHash } from "node:crypto";
import { textOf } from "./arguments.ts";
import type { Argument } from "./arguments.ts";

const MAX_MAPPED = 1000;
const SHEBANG = /^#!lua[^\n]*/;
const UPSTASH_FLAG = "allow-key-locking";

/** SHA-1 of the scripts of `@upstash/ratelimit` 2.2: they use no key but those that they are given. */
const knownScripts: ReadonlySet<string> = new Set([
  "b2efc02798c8e9b471a10f9b1d5745db89923ff3",
  "823cb2a5a902d69681244f5e28e5ebb8f2a89edd",
  "74740bb3d7792848093cdef586b6b6037c455fd6",
  "7ca36169e0fc9caedd81b4eef8e99854c157f9b5",
  "d60be5bd3d83482ae229309f1f7425424f891204",
  "970e83076fe2a331c2a6e325b0d45b574d9e6c04",
  "40daf4a441df736f5c99f8b77bbe176c909e5de4",
  "1861a700bafe96c833a483af6b1c28a8897cfdb0",
  "eb82f0e853d2fc9a236fa9bfbe704fda6ac2fc36",
  "e04b753a75909b7f99aae4c04cf8869a8de02a9e",
  "e066c8ce3eaca142b0894ad1541e0a58c9924819",
  "aeb4d8f381e8dafc8e69041baae1324d254ded44",
  "87828c1088f6a8d1f512a434ea330189982a1c0a",
  "54bd274ddc59fb3be0f42deee2f64322a10e2b50",
  "e8062088fe7e67994f617766e5d766490de1afb8",
]);

export function isKnownScript(named: { script: Argument } | { sha: Argument }): boolean {
  return knownScripts.has("sha" in named ? textOf(named.sha).toLowerCase() : sha1(named.script));
}

export class ScriptMap {
  readonly #mapped = new Map<string, string>();

  /** The script as a stock server takes it. Its line numbers stay. */
  adapt(script: Argument): Argument {
    // A script's own texts may be any bytes.
    const code = typeof script === "string" ? script : script.toString("latin1");
    const line = SHEBANG.exec(code)?.[0];
    if (line === undefined || !line.includes(UPSTASH_FLAG)) return script;
    const flags = (/flags=(\S*)/.exec(line)?.[1] ?? "")
      .split(",")
      .filter((flag) => flag !== "" && flag !== UPSTASH_FLAG);
    const text = (flags.length === 0 ? "" : `#!lua flags=${flags.join(",")}`) + code.slice(line.length);
    const adapted = typeof script === "string" ? text : Buffer.from(text, "latin1");
    if (this.#mapped.size >= MAX_MAPPED) this.#mapped.clear();
    this.#mapped.set(sha1(script), sha1(adapted));
    return adapted;
  }

  /**
   * The SHA-1 to call the server with. An unknown one stays: the server answers NOSCRIPT, and the client sends the
   * script.
   */
  shaFor(sha: Argument): Argument {
    return this.#mapped.get(textOf(sha).toLowerCase()) ?? sha;
  }

  /** The command with its script, or the script's SHA-1, as a stock server takes it. */
  rewrite(name: string, args: Argument[]): Argument[] {
    const [first, second, ...rest] = args;
    if ((name === "EVAL" || name === "EVAL_RO") && first !== undefined) return [this.adapt(first), ...args.slice(1)];
    if ((name === "EVALSHA" || name === "EVALSHA_RO") && first !== undefined)
      return [this.shaFor(first), ...args.slice(1)];
    if (name !== "SCRIPT" || second === undefined) return args;
    if (/^load$/i.test(textOf(first))) return ["LOAD", this.adapt(second), ...rest];
    return [first ?? "", ...[second, ...rest].map((sha) => this.shaFor(sha))];
  }
}

export function sha1(script: Argument): string {
  return createHash("sha1").update(script).digest("hex");
}
