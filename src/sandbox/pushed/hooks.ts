/** Hooks of the plugins that came with a pushed version, as the pipeline runs them. */
import type { ScreeningPhase } from "../../contract/attached-plugin.ts";
import type { EdgeplaneError } from "../../contract/errors.ts";
import type { ModelRef } from "../../contract/prediction.ts";
import type { PhaseSubject, Verdict } from "../../../plugins/kernel/phases.ts";
import { sha256Hex } from "../../../plugins/kernel/secret.ts";
import type { BoundHook } from "../../../plugins/kernel/snapshot.ts";
import { ManifestSchema } from "../manifest.ts";
import type { PluginRunner, Sandboxed } from "../runner.ts";
import type { PushedPolicy } from "./policy.ts";
import type { PushedPlugin } from "./read-folder.ts";
import { accountOf, parsePushedVerdict, shown } from "./verdict.ts";

/** Stands before a plugin's name in records: an operator's plugin can't be mistaken for it. */
const PREFIX = "pushed:";
/** The pipeline's own limit is only for what outlives the hook's. */
const BEHIND_MS = 1000;

export type PushedHooks = {
  screenInput: readonly BoundHook<"screenInput">[];
  screenOutput: readonly BoundHook<"screenOutput">[];
};

/** Told of a hook that could not decide. */
export type OnFault = (fault: { plugin: string; phase: ScreeningPhase; accountId: string; reason: string }) => void;

export type PushedRun = {
  runner: PluginRunner;
  policy: PushedPolicy;
  onFault: OnFault;
  /** Lets work go on behind the request's answer. */
  behind: (work: Promise<unknown>) => void;
};

/** `plugins` in their order. What the policy allows at most holds in place of more. */
export async function pushedHooks(
  version: ModelRef,
  plugins: readonly PushedPlugin[],
  run: PushedRun,
): Promise<PushedHooks> {
  const bound = await Promise.all(
    plugins.map(async (plugin) => ({ plugin, sandboxed: await sandboxedOf(version, plugin, run.policy) })),
  );
  const hooksOf = <P extends ScreeningPhase>(phase: P): BoundHook<P>[] =>
    bound
      .filter(({ plugin }) => plugin.attached.phases.includes(phase))
      .map(({ plugin, sandboxed }) => hookOf(phase, plugin, sandboxed, run));
  return { screenInput: hooksOf("screenInput"), screenOutput: hooksOf("screenOutput") };
}

/** An isolate belongs to one version: nothing that it keeps gets to another's, whoever has the same code. */
export async function sandboxedOf(
  { owner, name, version }: ModelRef,
  { attached, code }: Pick<PushedPlugin, "attached" | "code">,
  policy: PushedPolicy,
): Promise<Sandboxed> {
  const hash = await sha256Hex(JSON.stringify(["pushed", owner, name, version, attached.name, attached.hash]));
  const manifest = ManifestSchema.parse({
    ...{ name: attached.name, api_version: 1, phases: attached.phases, judges: attached.judges },
    fail_mode: attached.fail_mode,
    timeout_ms: Math.min(attached.timeout_ms, policy.timeout_ms),
    cpu_ms: Math.min(attached.cpu_ms, policy.cpu_ms),
  });
  return { upload: { hash, manifest, code }, network: [], pushedBy: owner };
}

/** In place of all hooks of a version whose plugins can't run: its inputs and outputs are refused. */
export function refusingHooks({ code, message }: EdgeplaneError): PushedHooks {
  const run = () => ({ verdict: "reject", code, message }) as const;
  const hook = { plugin: PREFIX.slice(0, -1), failMode: "closed", timeoutMs: BEHIND_MS, shadow: false } as const;
  const refusing = { ...hook, mutates: false, isPushed: true, run };
  return { screenInput: [refusing], screenOutput: [refusing] };
}

function hookOf<P extends ScreeningPhase>(
  phase: P,
  { attached, config }: PushedPlugin,
  sandboxed: Sandboxed,
  { runner, onFault, behind }: PushedRun,
): BoundHook<P> {
  const timeoutMs = sandboxed.upload.manifest.timeout_ms;
  const decide = async (subject: Readonly<PhaseSubject[P]>): Promise<Verdict<PhaseSubject[P]> | { fault: string }> => {
    try {
      const asked = runner.run(sandboxed, { config, phase, subject: shown(phase, subject) });
      const answer = await inTime(asked, timeoutMs, () => behind(runner.suspect(sandboxed).catch(() => {})));
      const verdict = parsePushedVerdict(phase, subject, answer);
      const isChange = "subject" in verdict || "held" in verdict;
      return attached.judges && isChange ? { fault: "its manifest says that it only judges" } : verdict;
    } catch (error) {
      return { fault: error instanceof Error ? error.message : String(error) };
    }
  };
  const run = async (subject: Readonly<PhaseSubject[P]>): Promise<Verdict<PhaseSubject[P]>> => {
    const decided = await decide(subject);
    if (!("fault" in decided)) return decided;
    onFault({ plugin: attached.name, phase, accountId: accountOf(phase, subject), reason: decided.fault });
    // What the plugin says may be the caller's words: they get into no log.
    throw new Error("a plugin of a pushed model could not decide");
  };
  return { ...settingsOf(attached, timeoutMs + BEHIND_MS), run };
}

function settingsOf(attached: PushedPlugin["attached"], timeoutMs: number): Omit<BoundHook<ScreeningPhase>, "run"> {
  const { name, fail_mode: failMode, judges } = attached;
  return { plugin: `${PREFIX}${name}`, failMode, timeoutMs, shadow: false, mutates: !judges, isPushed: true };
}

async function inTime<T>(work: Promise<T>, limitMs: number, onLate: () => void): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      onLate();
      reject(new Error(`it took longer than ${limitMs} ms`));
    }, limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
