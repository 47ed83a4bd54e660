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

  /** One answer a text, in their order. The texts of one call go together, as far as a question holds them. */
  async judge(texts: readonly string[]): Promise<Answer[]> {
    if (texts.length > this.#maxTexts) {
      const parts: Promise<readonly Answer[]>[] = [];
      for (let at = 0; at < texts.length; at += this.#maxTexts)
        parts.push(this.#ask(texts.slice(at, at + this.#maxTexts)));
      return (await Promise.all(parts)).flat();
    }
    const open = this.#open;
    if (open !== null && open.texts.length + texts.length <= this.#maxTexts) return this.#follow(open, texts);
    const isLone = Date.now() - this.#lastAt > GATHER_MS;
    this.#lastAt = Date.now();
    return isLone ? [...(await this.#ask(texts))] : this.#lead(texts);
  }

  async #lead(texts: readonly string[]): Promise<Answer[]> {
    const settled = Promise.withResolvers<readonly Answer[]>();
    const batch: Batch<Answer> = { texts: [...texts], answers: settled.promise };
    // Who follows hears of a failure by itself.
    settled.promise.catch(() => {});
    this.#open = batch;
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    if (this.#open === batch) this.#open = null;
    try {
      const answers = await this.#ask(batch.texts);
      settled.resolve(answers);
      return answers.slice(0, texts.length);
    } catch (error) {
      settled.reject(error);
      throw error;
    }
  }

  async #follow(batch: Batch<Answer>, texts: readonly string[]): Promise<Answer[]> {
    const place = batch.texts.length;
    batch.texts.push(...texts);
    let timer: ReturnType<typeof setTimeout> | null = null;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), this.#patienceMs);
    });
    const answers = await Promise.race([batch.answers.catch(() => null), late]);
    if (timer !== null) clearTimeout(timer);
    if (answers !== null) return answers.slice(place, place + texts.length);
    if (this.#open === batch) this.#open = null;
    return [...(await this.#ask(texts))];
  }
}
