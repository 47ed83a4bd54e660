/**
 * One terminal for several who speak at once: the first that began is heard as it speaks, whoever began later when all
 * before it have ended. So nothing is interleaved, and nothing is lost.
 */
export type Voice = {
  say(text: string): void;
  /** It has nothing more to say. */
  end(): void;
};

type Speaker = { waiting: string[]; ended: boolean };

export function createTurns(write: (text: string) => void): () => Voice {
  const speakers: Speaker[] = [];

  function goOn(): void {
    for (let head = speakers[0]; head !== undefined; head = speakers[0]) {
      for (const text of head.waiting.splice(0)) write(text);
      if (!head.ended) return;
      speakers.shift();
    }
  }

  return () => {
    const speaker: Speaker = { waiting: [], ended: false };
    speakers.push(speaker);
    return {
      say(text) {
        speaker.waiting.push(text);
        goOn();
      },
      end() {
        speaker.ended = true;
        goOn();
      },
    };
  };
}
