/** An uploaded version as a plugin of the kernel: to settings and pipeline it is like any other. */
import * as z from "zod";
import { definePlugin } from "../../plugins/kernel/define-plugin.ts";
import type { HooksOf, Plugin } from "../../plugins/kernel/define-plugin.ts";
import { compileJsonSchema } from "../../plugins/kernel/json-schema.ts";
import type { SchemaCheck } from "../../plugins/kernel/json-schema.ts";
import type { Call, Hook, Judge, Phase, PhaseSubject, Verdict } from "../../plugins/kernel/phases.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import type { Json } from "../contract/prediction.ts";
import type { Manifest } from "./manifest.ts";
import type { PluginRunner, Sandboxed } from "./runner.ts";
import { parseVerdict } from "./verdict-schema.ts";

/**
 * When an uploaded plugin is set up: at publishing at once, to see whether it can be; where requests are served by its
 * first call, so that one whose isolate is away harms only what it guards.
 */
export type SetUp = "at once" | "when called";

/** Throws `plugin_invalid` when the manifest's `config_schema` is no schema that can be checked by. */
export function uploadedPlugin(sandboxed: Sandboxed, runner: PluginRunner, setUp: SetUp): Plugin {
  const { manifest } = sandboxed.upload;
  return definePlugin({
    name: manifest.name,
    apiVersion: manifest.api_version,
    version: JSON.stringify([sandboxed.upload.hash, sandboxed.network]),
    config: configSchemaOf(manifest),
    phases: manifest.phases,
    after: manifest.after,
    requires: manifest.requires,
    failMode: manifest.fail_mode,
    timeoutMs: manifest.timeout_ms,
    async setup({ config }): Promise<HooksOf<Phase>> {
      if (setUp === "at once") await checkHooks(sandboxed, runner, config);
      const hooks = manifest.phases.map((phase) => [phase, hookOf(phase, { sandboxed, runner, config })]);
      return Object.fromEntries(hooks) as HooksOf<Phase>;
    },
  });
}

/** Throws when the plugin can't be set up, or has not the hooks that its manifest names. */
async function checkHooks(sandboxed: Sandboxed, runner: PluginRunner, config: Json): Promise<void> {
  const found = new Set(await runner.start(sandboxed, config));
  const absent = sandboxed.upload.manifest.phases.find((phase) => !found.has(phase));
  if (absent !== undefined) throw new Error(`its manifest names the phase ${absent}, and it has no hook for it`);
}

/** A zod schema that checks by `config_schema`. Throws `plugin_invalid`. */
export function configSchemaOf(manifest: Manifest): z.ZodType<Json> {
  const check = compiled(manifest);
  return z.json().check((context) => {
    const problem = check(context.value);
    if (problem !== null) context.issues.push({ code: "custom", message: problem, input: context.value });
  });
}

function compiled(manifest: Manifest): SchemaCheck {
  try {
    return compileJsonSchema(manifest.config_schema);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EdgeplaneError("plugin_invalid", `\`config_schema\` of "${manifest.name}" can't be used: ${reason}`, {
      cause,
    });
  }
}

type Bound = { sandboxed: Sandboxed; runner: PluginRunner; config: Json };

function hookOf<P extends Phase>(phase: P, bound: Bound): Hook<P> | Judge<P> {
  const { manifest } = bound.sandboxed.upload;
  const run = async (subject: Readonly<PhaseSubject[P]>): Promise<Verdict<PhaseSubject[P]>> =>
    parseVerdict(phase, subject, await answerOf(phase, subject, bound));
  if (!manifest.judges) return run;
  return {
    judge: async (subject) => {
      const verdict = await run(subject);
      if ("subject" in verdict || "held" in verdict) throw new Error("its manifest says that it only judges");
      return verdict;
    },
  };
}

/** A hook that takes too long is given up by the pipeline; its isolate may be hung. */
async function answerOf<P extends Phase>(phase: P, subject: Readonly<PhaseSubject[P]>, bound: Bound): Promise<unknown> {
  const { sandboxed, runner, config } = bound;
  const timer = setTimeout(() => void runner.suspect(sandboxed).catch(() => {}), sandboxed.upload.manifest.timeout_ms);
  try {
    return await runner.run(sandboxed, { config, phase, subject: asJson(subject) });
  } finally {
    clearTimeout(timer);
  }
}

/** Of a call, its headers go along as they are: the isolate makes `header` of them. */
function asJson(subject: object): object {
  if (!("headers" in subject)) return subject;
  const { header: _header, headers, ...call } = subject as Call;
  return { ...call, headers: headers() };
}
