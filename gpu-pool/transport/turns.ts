/** Lets a piece of work begin: in its caller's own place, or in one that all share. */
type Go = (isOwn: boolean) => void;

/**
 * Runs pieces of work of several callers. Each caller has one under way at once, whatever others have; beyond that all
 * together have at most `limit`, in the order in which they came. So nobody waits for the end of another's many.
 */
export function createTurns(limit: number): () => <T>(work: () => Promise<T>) => Promise<T> {
  /** The queue of the caller of each waiting piece, in order of arrival; a queue may have been emptied since. */
  const turns: Go[][] = [];
  let shared = 0;

  function nextShared(): Go | undefined {
    for (let waiting = turns.shift(); waiting !== undefined; waiting = turns.shift()) {
      const go = waiting.shift();
      if (go !== undefined) return go;
    }
    return undefined;
  }

  return () => {
    const waiting: Go[] = [];
    let isOwnTaken = false;
    const begin = async (): Promise<boolean> => {
      if (!isOwnTaken) return (isOwnTaken = true);
      if (shared < limit) {
        shared += 1;
        return false;
      }
      turns.push(waiting);
      return new Promise<boolean>((resolve) => waiting.push(resolve));
    };
    const end = (isOwn: boolean): void => {
      const next = isOwn ? waiting.shift() : nextShared();
      if (next !== undefined) next(isOwn);
      else if (isOwn) isOwnTaken = false;
      else shared -= 1;
    };
    return async (work) => {
      const isOwn = await begin();
      try {
        return await work();
      } finally {
        end(isOwn);
      }
    };
  };
}
