/**
 * Runs the hooks of one phase over one subject: those that may change it in order, each handing on to the next; those
 * that only judge side by side with their neighbours that do, over the same subject.
 */
import type { HeldReservation } from "../../plugins/kernel/reservations.ts";
import type {
  Answer,
  AnswerVerdict,
  Finding,
  PhaseSubject,
  Phase,
  PredictionCall,
  Verdict,
} from "../../plugins/kernel/phases.ts";
import { judged } from "../../plugins/kernel/verdict-events.ts";
import type { BoundHook, Hooks } from "../../plugins/kernel/snapshot.ts";
import { EdgeplaneError } from "../contract/errors.ts";
import { addVerdicts } from "../contract/verdict.ts";
import type { VerdictAction, VerdictRecord } from "../contract/verdict.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { countVerdict } from "../telemetry/verdict-counts.ts";

/** What the phases of one request, or of one piece of output, leave behind besides their subject. */
export type Trail = {
  readonly verdicts: VerdictRecord[];
  readonly reservations: HeldReservation[];
  /** To be laid over those of the client's answer. */
  readonly headers: Record<string, string>;
  /** What each plugin holds of a stream, by its name; given to `screenOutput` alone. */
  readonly states?: Map<string, string>;
  /** Gets what was reserved by a hook whose verdict came too late to count. */
  readonly onLate?: (reservation: HeldReservation) => void;
  /** Gets a hook that is under way: it is to be waited for, even if the client is answered, or gone, before it ends. */
  readonly outlive?: (hook: Promise<unknown>) => void;
  /**
   * What becomes of a call that a hook of `admit`, `screenInput` or `route` has changed. It throws `EdgeplaneError` for
   * one that can't be handed on: that is the plugin's fault, and what comes of it is decided by its `failMode`.
   */
  readonly onChangedCall?: (changed: PredictionCall, before: PredictionCall, phase: Phase) => PredictionCall;
  /**
   * Whether a plugin's answer is taken, which ends the phase; else the hooks behind it decide. Without this, none is.
   * Never throws.
   */
  readonly onAnswer?: (answer: Answer) => Promise<boolean>;
  /** Told of what is recorded: `runPhase` sets it where plugins observe. */
  readonly onRecord?: (recorded: Recorded) => void;
  /** Told of every verdict as it comes. */
  readonly onDecided?: (one: { plugin: string; phase: Phase; decided: Decided; ms: number }) => void;
};

export function newTrail(): Trail {
  return { verdicts: [], reservations: [], headers: {} };
}

/** Whether any plugin has a hook for `phase`: callers skip the work of making a subject when none has. */
export function hasHooks({ hooks }: Hooks, phase: Phase): boolean {
  return hooks[phase].length > 0;
}

/**
 * Runs `phase` and returns the subject that its last hook handed on; what else came of it is added to `trail`. Throws
 * `EdgeplaneError`: the code of the first hook, in their order, that rejects, or `guard_unavailable` when a hook that
 * fails closed throws or runs out of time, or what `trail.onChangedCall` throws over what one has changed.
 */
export async function runPhase<P extends Phase>(
  hooks: Hooks,
  phase: P,
  subject: PhaseSubject[P],
  given: Trail = newTrail(),
): Promise<PhaseSubject[P]> {
  const list = hooks.hooks[phase];
  const trail = observed(hooks, phase, subject, given);
  let current = subject;
  for (let index = 0; index < list.length;) {
    const group = list.slice(index, endOfGroup(list, index));
    const decided = group.map((hook) => decide(phase, hook, current, trail));
    for (const [place, hook] of group.entries()) {
      const pending = decided[place];
      try {
        const one = pending instanceof Promise ? await pending : (pending ?? UNDECIDED);
        current = apply(phase, hook, current, one, trail);
        if (one.verdict === "answer" && !hook.shadow && (await trail.onAnswer?.(one.answer)) === true) return current;
      } catch (error) {
        for (let later = place + 1; later < group.length; later += 1) giveBackLate(group[later], decided[later], trail);
        throw error;
      }
    }
    index += group.length;
  }
  return current;
}

/** Of one recorded verdict. */
type Recorded = { plugin: string; action: VerdictAction; code: string | null; findings: readonly Finding[] };

/** A trail that tells the plugins which observe verdicts, if there are any. */
function observed<P extends Phase>(
  { observers = [], version }: Hooks,
  phase: P,
  subject: PhaseSubject[P],
  trail: Trail,
): Trail {
  if (observers.length === 0) return trail;
  const onRecord = (recorded: Recorded): void => {
    const event = { id: crypto.randomUUID(), at: Date.now(), settings: version ?? null, ...judged(subject), phase };
    for (const { plugin, onVerdict } of observers) {
      try {
        onVerdict({ ...event, ...recorded });
      } catch (error) {
        log.error("plugin_failed", { plugin, phase: "onVerdict", failMode: "open", reason: reasonOf(error) });
      }
    }
  };
  return { ...trail, onRecord };
}

/** `broken`: the hook threw, ran out of time, or returned no verdict. */
export type Decided<Subject = unknown> = Verdict<Subject> | AnswerVerdict | { verdict: "broken"; cause: unknown };
const UNDECIDED = { verdict: "broken", cause: "no verdict" } as const;

/** By which metrics count all plugins of pushed versions: their names are their owners' choice. */
const PUSHED = "pushed";

/** Those whose subject is a prediction's call. */
const callPhases: ReadonlySet<Phase> = new Set(["admit", "screenInput", "route"]);

/** A hook that may change the subject is a group by itself; those that only judge are one with their neighbours. */
function endOfGroup(list: readonly { mutates: boolean }[], start: number): number {
  let end = start + 1;
  if (list[start]?.mutates === true) return end;
  while (list[end]?.mutates === false) end += 1;
  return end;
}

function decide<P extends Phase>(
  phase: P,
  hook: BoundHook<P>,
  subject: PhaseSubject[P],
  trail: Trail,
): Decided<PhaseSubject[P]> | Promise<Decided<PhaseSubject[P]>> {
  const { states, onDecided } = trail;
  const given = states === undefined ? subject : { ...subject, held: states.get(hook.plugin) ?? null };
  const startedAt = onDecided === undefined ? 0 : performance.now();
  const tell = (decided: Decided<PhaseSubject[P]>) => {
    onDecided?.({ plugin: hook.plugin, phase, decided, ms: performance.now() - startedAt });
    return decided;
  };
  try {
    const verdict = hook.run(given);
    return verdict instanceof Promise ? inTime(hook, verdict, trail, tell) : tell(wellFormed(hook, verdict));
  } catch (cause) {
    return tell({ verdict: "broken", cause });
  }
}

async function inTime<Subject>(
  hook: { plugin: string; timeoutMs: number; answers?: boolean },
  verdict: Promise<Verdict<Subject> | AnswerVerdict>,
  trail: Trail,
  tell: (decided: Decided<Subject>) => Decided<Subject>,
): Promise<Decided<Subject>> {
  trail.outlive?.(verdict);
  try {
    return tell(
      wellFormed(hook, await withTimeout(verdict, hook.timeoutMs, (late) => giveBackLate(hook, late, trail))),
    );
  } catch (cause) {
    return tell({ verdict: "broken", cause });
  }
}

function wellFormed<Subject>(
  { answers = false }: { answers?: boolean },
  verdict: Verdict<Subject> | AnswerVerdict,
): Decided<Subject> {
  const known = ["continue", "reject", "shadow"].includes(verdict?.verdict);
  return known || (answers && verdict?.verdict === "answer")
    ? verdict
    : { verdict: "broken", cause: "the plugin returned no verdict" };
}

/** The subject behind `hook`. Throws what it refuses with. */
function apply<P extends Phase>(
  phase: P,
  hook: BoundHook<P>,
  subject: PhaseSubject[P],
  decided: Decided<PhaseSubject[P]>,
  trail: Trail,
): PhaseSubject[P] {
  if (decided.verdict === "broken") return applyBroken(phase, hook, subject, decided.cause, trail);
  const findings = decided.findings ?? [];
  if (decided.verdict === "continue") {
    const { reservation, headers } = decided;
    // One that only judges hands on nothing: its neighbours decide over the same subject meanwhile.
    const changed = hook.mutates && "subject" in decided ? decided.subject : undefined;
    if (reservation !== undefined) trail.reservations.push({ ...reservation, plugin: hook.plugin });
    if (headers !== undefined) Object.assign(trail.headers, headers);
    if ("held" in decided && decided.held !== undefined) noteState(hook.plugin, decided.held, trail);
    const isChange = changed !== undefined && changed !== subject;
    let handedOn = subject;
    if (isChange) {
      try {
        const checked = checkChange(phase, changed, subject, trail);
        if (!hook.shadow) handedOn = checked;
      } catch (cause) {
        return applyBroken(phase, hook, subject, cause, trail, unfitBy(hook.plugin, cause));
      }
    }
    // A chunk of output is changed by what is held back of it, too: there, a finding makes the verdict.
    if (findings.length > 0 || (isChange && phase === "screenInput"))
      record(phase, hook, isChange ? (hook.shadow ? "shadow" : "change") : "note", null, findings, trail);
    return handedOn;
  }
  if (decided.verdict === "answer") {
    if (findings.length > 0) record(phase, hook, hook.shadow ? "shadow" : "note", null, findings, trail);
    return subject;
  }
  const { code, message, retryAfterMs, headers } = decided;
  if (decided.verdict === "shadow" || hook.shadow) {
    record(phase, hook, "shadow", code, findings, trail);
    log.info("plugin_shadow", { plugin: hook.plugin, phase, code });
    return subject;
  }
  record(phase, hook, "reject", code, findings, trail);
  throw new EdgeplaneError(code, message, {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(headers === undefined ? {} : { headers }),
  });
}

function checkChange<P extends Phase>(
  phase: P,
  changed: PhaseSubject[P],
  before: PhaseSubject[P],
  { onChangedCall }: Trail,
): PhaseSubject[P] {
  if (onChangedCall === undefined || !callPhases.has(phase)) return changed;
  return onChangedCall(changed as PredictionCall, before as PredictionCall, phase) as PhaseSubject[P];
}

function unfitBy(plugin: string, cause: unknown): EdgeplaneError {
  if (!(cause instanceof EdgeplaneError)) return couldNotDecide(plugin, cause);
  const detail = `The plugin "${plugin}" changed the input to one that can't be handed on:\n${cause.message}`;
  return new EdgeplaneError(cause.code, detail, cause.options);
}

function couldNotDecide(plugin: string, cause: unknown): EdgeplaneError {
  return new EdgeplaneError("guard_unavailable", `The plugin "${plugin}" could not decide.`, { cause });
}

/** `refusal`: what the client gets, unless the hook fails open. */
function applyBroken<P extends Phase>(
  phase: P,
  hook: BoundHook<P>,
  subject: PhaseSubject[P],
  cause: unknown,
  trail: Trail,
  refusal: EdgeplaneError = couldNotDecide(hook.plugin, cause),
): PhaseSubject[P] {
  const isOpen = hook.shadow || hook.failMode === "open";
  const failMode = isOpen ? "open" : "closed";
  // What is wrong with an input may name what the client wrote: the code is enough.
  const reason = refusal.code === "guard_unavailable" ? reasonOf(cause) : refusal.code;
  // What one that was pushed says of itself may hold anything: its owner is told, and no log.
  if (hook.isPushed === true) log.warn("pushed_plugin_failed", { plugin: hook.plugin, phase, failMode });
  else log.error("plugin_failed", { plugin: hook.plugin, phase, failMode, reason });
  record(phase, hook, isOpen ? "broken" : "reject", refusal.code, [], trail);
  if (isOpen) return subject;
  throw refusal;
}

function noteState(plugin: string, held: string | null, { states }: Trail): void {
  if (held === null) states?.delete(plugin);
  else states?.set(plugin, held);
}

function record(
  phase: Phase,
  { plugin, isPushed = false }: { plugin: string; isPushed?: boolean },
  action: VerdictAction,
  code: string | null,
  findings: readonly Finding[],
  { verdicts, onRecord }: Trail,
): void {
  countVerdict(isPushed ? PUSHED : plugin, phase, action);
  onRecord?.({ plugin, action, code, findings });
  const found = findings.length === 0 ? [{ category: null, rule: null }] : findings;
  addVerdicts(
    verdicts,
    found.map(({ category, rule }) => ({ plugin, phase, action, code, category, rule })),
  );
}

/** What a hook reserved whose verdict counts no more goes back as soon as it is known. */
function giveBackLate(
  hook: { plugin: string } | undefined,
  decided: Decided | Promise<Decided> | undefined,
  { onLate }: Trail,
): void {
  if (hook === undefined || decided === undefined || onLate === undefined) return;
  const give = (late: Decided) => {
    if (late.verdict !== "continue" || late.reservation === undefined) return;
    onLate({ ...late.reservation, plugin: hook.plugin });
  };
  if (decided instanceof Promise) void decided.then(give, () => {});
  else give(decided);
}

/**
 * `late` gets what comes after the time was over. The timer isn't cleared, as this runs in objects, too:
 * src/object-timers.ts tells why.
 */
function withTimeout<T>(work: Promise<T>, timeoutMs: number, late: (value: T) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let isOver = false;
    setTimeout(() => {
      isOver = true;
      reject(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    work.then((value) => (isOver ? late(value) : resolve(value)), reject);
  });
}
