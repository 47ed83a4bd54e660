/** One log line per change of a connection's state, however often the state is reported. */
import type { Logger } from "pino";
import type { EdgeMessage } from "../../src/contract/channel.ts";

type Welcome = Extract<EdgeMessage, { type: "welcome" }>;

export type StateLines = {
  /** The control channel: open (null), or why not. */
  channel(problem: string | null): void;
  /** The log that jobs come from. */
  log(problem: string | null): void;
  /** The edge's door for events. */
  events(problem: string | null): void;
  /**
   * The pool's models that the edge doesn't take into its list, or that it takes none: each is told once, until its
   * reason changes.
   */
  models(welcome: Pick<Welcome, "registersModels" | "refusedModels">): void;
};

export function createStateLines(logger: Logger, edge: string): StateLines {
  function line(up: string, down: string, quietFirst: boolean): (problem: string | null) => void {
    let works: boolean | null = quietFirst ? true : null;
    return (problem) => {
      const isUp = problem === null;
      if (works === isUp) return;
      works = isUp;
      if (isUp) logger.info({ edge }, up);
      else logger.warn({ edge, problem }, down);
    };
  }
  let registers = true;
  let refused = new Set<string>();
  return {
    models({ registersModels = true, refusedModels: refusals = [] }) {
      if (registers && !registersModels)
        logger.warn("this token doesn't put models into the edge's list: make one with may_register_models");
      registers = registersModels;
      const told = refused;
      refused = new Set(refusals.map((refusal) => JSON.stringify(refusal)));
      for (const refusal of refusals) {
        if (told.has(JSON.stringify(refusal))) continue;
        logger.warn(refusal, "the edge doesn't take a model of this pool into its list");
      }
    },
    channel: line("connected to the edge", "the edge can't be reached; trying on", false),
    log: line("jobs can be read again", "jobs can't be read; trying on", true),
    events: line("results can be delivered again", "results can't be delivered; kept and tried on", true),
  };
}
