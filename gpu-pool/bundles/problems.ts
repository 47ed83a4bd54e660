/** What may go wrong while the files of a pushed model come. */
import { StatusError, TransportError } from "../transport/http-client.ts";

/** The files can't be had, or are not what was pushed: the model's owner hears of it. */
export class FetchProblem extends Error {
  override readonly name = "FetchProblem";
  /** The chunk that is not what it should be; null where it is something else. */
  readonly chunk: string | null;

  constructor(message: string, { chunk = null, ...options }: ErrorOptions & { chunk?: string | null } = {}) {
    super(message, options);
    this.chunk = chunk;
  }
}

/** The edge, or whoever has the files, is away. Nobody's fault: it is tried again. */
export class SourceAway extends Error {
  override readonly name = "SourceAway";
}

/** This host has no room for them now: it runs short, and goes on when there is space. */
export class NoSpace extends Error {
  override readonly name = "NoSpace";
}

/** The pool's own folder can't be written, which says nothing of any model: it goes on when it can be again. */
export class Unwritable extends Error {
  override readonly name = "Unwritable";
}

/** What a write says that fails for want of room. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** What the system says where this host is set up wrong, or runs short of something else. */
const OF_HOST: ReadonlySet<string> = new Set([
  ...["EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE", "ENOMEM", "EIO"],
  // A lock can't be made (runtime/host-lock.ts): nothing else here asks SQLite.
  "ERR_SQLITE_ERROR",
]);

/** Whether it is only that the edge, or whoever has the files, is away: it may have been asked for a secret. */
export function isAway(error: unknown): boolean {
  if (error instanceof SourceAway) return true;
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof TransportError || (cause instanceof StatusError && cause.mayHeal);
}

/** Whether it is no fault of the files: it is tried again, and their owner doesn't hear of it. */
export function isNoFault(error: unknown): boolean {
  if (error instanceof NoSpace || isAway(error)) return true;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return FULL.has(code) || OF_HOST.has(code);
}

/** A disk that took no more becomes `NoSpace`; any other error stays what it is. */
export function asNoSpace(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || !FULL.has(String(error.code))) return error;
  return new NoSpace(`the disk of pushed models is full (${String(error.code)})`, { cause: error });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
