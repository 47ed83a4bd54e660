/**
 * Puts texts of concurrent calls into one question. A lone call asks at once; one that comes within a few milliseconds
 * of another waits as long for company. Requests don't live and die together: where the one that asks for several goes
 * away, each of the others asks for itself.
 */
const GATHER_MS = 3;

type Ask<Answer> = (texts: readonly string[]) => Promise<readonly Answer[]>;
type Batch<Answer> = { texts: string[]; answers: Promise<readonly Answer[]> };

export class Batches<Answer> {
  readonly #ask: Ask<Answer>;
  readonly #maxTexts: number;
  readonly #patienceMs: number;
  #open: Batch<Answer> | null = null;
  #lastAt = -Infinity;

  /** `ask` answers one `Answer` a text, of `maxTexts` at most; nobody waits longer than `patienceMs` for another. */
  constructor(ask: Ask<Answer>, maxTexts: number, patienceMs: number) {
    this.#ask = ask;
    this.#maxTexts = maxTexts;
    this.#patienceMs = patienceMs;
  }

  async judge(text: string): Promise<Answer> {
    const open = this.#open;
    if (open !== null && open.texts.length < this.#maxTexts) return this.#follow(open, text);
    const isLone = Date.now() - this.#lastAt > GATHER_MS;
    this.#lastAt = Date.now();
    return isLone ? this.#askAlone(text) : this.#lead(text);
  }

  async #lead(text: string): Promise<Answer> {
    const settled = Promise.withResolvers<readonly Answer[]>();
    const batch: Batch<Answer> = { texts: [text], answers: settled.promise };
    // Who follows hears of a failure by itself.
    settled.promise.catch(() => {});
    this.#open = batch;
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    if (this.#open === batch) this.#open = null;
    try {
      const answers = await this.#ask(batch.texts);
      settled.resolve(answers);
      return answerAt(answers, 0);
    } catch (error) {
      settled.reject(error);
      throw error;
    }
  }

  async #follow(batch: Batch<Answer>, text: string): Promise<Answer> {
    const place = batch.texts.push(text) - 1;
    if (batch.texts.length >= this.#maxTexts) this.#open = null;
    let timer: ReturnType<typeof setTimeout> | null = null;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), this.#patienceMs);
    });
    const answers = await Promise.race([batch.answers.catch(() => null), late]);
    clearTimeout(timer);
    if (answers !== null) return answerAt(answers, place);
    if (this.#open === batch) this.#open = null;
    return this.#askAlone(text);
  }

  async #askAlone(text: string): Promise<Answer> {
    return answerAt(await this.#ask([text]), 0);
  }
}

function answerAt<Answer>(answers: readonly Answer[], place: number): Answer {
  const answer = answers[place];
  if (answer === undefined) throw new Error("there is no answer to this text");
  return answer;
}
