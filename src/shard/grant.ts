/** The grant that a claimed row stands for. */
import type { Grant } from "../contract/claim.ts";
import { isSuspect } from "./row.ts";
import type { Row } from "./row.ts";

/** Deadlines leave as durations, so that a wrong clock on the pool's host does no harm. */
export function grantOf(row: Row, now: number): Grant {
  const { fixed } = row;
  const startNow = row.state === "running";
  return {
    id: row.id,
    verdict: "granted",
    token: row.token ?? "",
    attempt: startNow ? row.attempt : row.attempt + 1,
    startNow,
    alone: isSuspect(row),
    model: fixed.model,
    ...(row.inputBlob === null
      ? { input: row.input }
      : { inputBlob: `/pool/v1/blobs/${row.id}/${row.token ?? ""}/input` }),
    // Nothing holds the deadline to start against what has run: a pool would hand it back at once, again and again.
    startInMs: Math.max(0, (row.startedAt === null ? row.startBy : row.endBy) - now),
    endInMs: Math.max(0, row.endBy - now),
    ...(fixed.runLimitMs === undefined ? {} : { runLimitMs: fixed.runLimitMs }),
    cost: fixed.cost,
    stream: fixed.stream,
    seq: row.nextSeq,
    ...(fixed.traceparent === null ? {} : { traceparent: fixed.traceparent }),
  };
}
