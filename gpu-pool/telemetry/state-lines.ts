/** One log line per change of a connection's state, however often the state is reported. */
import type { Logger } from "pino";

export type StateLines = {
  /** The control channel: open (null), or why not. */
  channel(problem: string | null): void;
  /** The log that jobs come from. */
  log(problem: string | null): void;
  /** The edge's door for events. */
  events(problem: string | null): void;
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
  return {
    channel: line("connected to the edge", "the edge can't be reached; trying on", false),
    log: line("jobs can be read again", "jobs can't be read; trying on", true),
    events: line("results can be delivered again", "results can't be delivered; kept and tried on", true),
  };
}
