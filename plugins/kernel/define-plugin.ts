/** `definePlugin`: a plugin declared once, typed from its zod schema. */
import type * as z from "zod";
import type { Hook, Judge, Phase } from "./phases.ts";
import type { ServiceName, Services } from "./services.ts";
import type { VerdictObserver } from "./verdict-events.ts";

/** The contract's version. A plugin of another is refused when the settings are built. */
export const PLUGIN_API_VERSION = 1;

const DEFAULT_TIMEOUT_MS = 2000;

/** What happens when a hook throws or runs out of time: `closed` refuses the request, `open` lets it through. */
export type FailMode = "closed" | "open";

export type SetupContext<Config, Needs extends ServiceName> = {
  config: Config;
  services: Pick<Services, Needs>;
};

/**
 * One hook for each phase that the plugin names; those that are wrapped in `judge` only judge. `dispose` is called
 * once, when no request uses them any more.
 */
export type HooksOf<Phases extends Phase> = { [P in Phases]: Hook<P> | Judge<P> } & Lifelong;

/** `onVerdict` is of plugins that declare `observes`. */
type Lifelong = { onVerdict?: VerdictObserver; dispose?(): void | Promise<void> };

/** What `setup` returned, by phase. */
export type StartedHooks = Partial<{ [P in Phase]: Hook<P> | Judge<P> }> & Lifelong;

export type PluginSpec<Config extends z.ZodType, Phases extends Phase, Needs extends ServiceName> = {
  /** Lower-case letters, digits and hyphens; unique. */
  name: string;
  apiVersion: number;
  /** Tells uploaded plugins of the same name apart; a built-in one is what is compiled in. */
  version?: string;
  /** Parses the plugin's settings; `{}` must be valid if the plugin shall be on by default. */
  config: Config;
  phases: readonly Phases[];
  /** Plugins that run before this one in each phase they share, if they are on. */
  after?: readonly string[];
  /** Plugins that must be on; they run before this one too. */
  requires?: readonly string[];
  needs?: readonly Needs[];
  /** `closed` unless stated: a guard that breaks, blocks. */
  failMode?: FailMode;
  /** Whether its hook of `route`, which stands behind all others of the phase, may answer predictions itself. */
  answers?: boolean;
  /** Whether it is told of all verdicts: `onVerdict`. */
  observes?: boolean;
  /** How long one hook may take; 2,000 unless stated. */
  timeoutMs?: number;
  /**
   * Settings that the plugin's tests and docs/plugins.md show; needed where `{}` is none that it takes. They must work
   * without anything beyond its services.
   */
  example?: z.input<Config>;
  /**
   * Runs at publishing alone, over all settings that the plugin has in them: throws `EdgeplaneError` for what can't be,
   * such as a model that isn't there.
   */
  check?(entries: readonly CheckedEntry<z.output<Config>>[], services: Pick<Services, Needs>): Promise<void>;
  /**
   * Runs once per isolate, and again when the plugin's own settings or version are others; and once more at each
   * publishing, to see whether it works.
   */
  setup(context: SetupContext<z.output<Config>, Needs>): HooksOf<Phases> | Promise<HooksOf<Phases>>;
};

/** Settings of a plugin, and for whom: an account's id, a model's `owner/name`; neither: for all. */
export type CheckedEntry<Config> = { account: string | null; model: string | null; config: Config };

/** A plugin as the kernel keeps it: the types of its config and services are closed over. */
export type Plugin = {
  readonly name: string;
  readonly apiVersion: number;
  readonly version: string;
  readonly config: z.ZodType;
  readonly phases: readonly Phase[];
  readonly after: readonly string[];
  readonly requires: readonly string[];
  readonly needs: readonly ServiceName[];
  readonly failMode: FailMode;
  readonly answers: boolean;
  readonly observes: boolean;
  readonly timeoutMs: number;
  readonly example: unknown;
  /** Throws for entries that can't be, each or together; a plugin that looks nothing up takes them all. */
  readonly check: (entries: readonly CheckedEntry<unknown>[], services: Partial<Services>) => Promise<void>;
  /** Parses `settings` and sets the plugin up. Throws `z.ZodError` for settings that don't fit. */
  readonly start: (settings: unknown, services: Partial<Services>) => Promise<StartedHooks>;
};

/**
 * Declares a plugin.
 *
 * @example
 * export const maintenance = definePlugin({
 *   name: "maintenance", apiVersion: 1, phases: ["admit"],
 *   config: z.object({ closed: z.boolean().default(false) }),
 *   setup: ({ config }) => ({
 *     admit: judge(() =>
 *       config.closed ? { verdict: "reject", code: "unavailable", message: "Closed for maintenance." } : proceed,
 *     ),
 *   }),
 * });
 */
export function definePlugin<
  Config extends z.ZodType,
  const Phases extends Phase,
  const Needs extends ServiceName = never,
>(spec: PluginSpec<Config, Phases, Needs>): Plugin {
  return Object.freeze({
    name: spec.name,
    apiVersion: spec.apiVersion,
    version: spec.version ?? "",
    config: spec.config,
    phases: spec.phases,
    after: spec.after ?? [],
    requires: spec.requires ?? [],
    needs: spec.needs ?? [],
    failMode: spec.failMode ?? "closed",
    answers: spec.answers ?? false,
    observes: spec.observes ?? false,
    timeoutMs: spec.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    example: spec.example ?? {},
    check: async (entries: readonly CheckedEntry<unknown>[], services: Partial<Services>): Promise<void> => {
      if (spec.check === undefined || entries.length === 0) return;
      const parsed = entries.map((entry) => ({ ...entry, config: spec.config.parse(entry.config) }));
      await spec.check(parsed, pick(services, spec.needs ?? []));
    },
    start: async (settings: unknown, services: Partial<Services>): Promise<StartedHooks> =>
      spec.setup({ config: spec.config.parse(settings), services: pick(services, spec.needs ?? []) }),
  });
}

/** Throws for a service that isn't there. */
function pick<Needs extends ServiceName>(services: Partial<Services>, needs: readonly Needs[]): Pick<Services, Needs> {
  const absent = needs.find((name) => services[name] === undefined);
  if (absent !== undefined) throw new Error(`the service "${absent}" is not there`);
  return Object.freeze(Object.fromEntries(needs.map((name) => [name, services[name]]))) as Pick<Services, Needs>;
}
