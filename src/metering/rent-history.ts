/** Which rents held when: the settings keep all that were ever published, with their times. */
import * as z from "zod";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { scalerObject } from "../scaling/object/remote.ts";
import { RentsSchema, rentsOf } from "./rents.ts";
import type { RentOf, Rents } from "./rents.ts";

/** Publications that are looked back through at most; what is older goes by the last of them. */
const MAX_BACK = 50;

/** `at`: from when on they held, in milliseconds since the epoch. */
type Published = { number: number; at: number; rents: Rents | undefined };

const ReadSchema = z.object({
  numbered: z.object({ number: z.number(), settings: z.object({ rents: RentsSchema.optional().catch(undefined) }) }),
  publication: z.object({ at: z.number() }).nullable(),
});

export class RentHistory {
  readonly #env: Pick<Env, "SETTINGS" | "SCALER">;
  /** What is published never changes. */
  readonly #known = new Map<number, Published>();

  constructor(env: Pick<Env, "SETTINGS" | "SCALER">) {
    this.#env = env;
  }

  /** What held at any time from `fromMs` on. */
  async since(fromMs: number): Promise<(atMs: number) => RentOf> {
    const paid = await callObject(() => scalerObject(this.#env).lastRents());
    const published: Published[] = [];
    for (let one = await this.#read(null); one !== null; one = await this.#before(one)) {
      published.push(one);
      if (one.at <= fromMs || published.length >= MAX_BACK) break;
    }
    return (atMs) => rentsOf((published.find(({ at }) => at <= atMs) ?? published.at(-1))?.rents, paid);
  }

  async #before({ number }: Published): Promise<Published | null> {
    return number <= 0 ? null : (this.#known.get(number - 1) ?? this.#read(number - 1));
  }

  async #read(number: number | null): Promise<Published | null> {
    const stub: unknown = objectNamed(this.#env.SETTINGS, "settings");
    const remote = stub as { read(number: number | null): Promise<unknown> };
    const found = ReadSchema.nullable().parse(await callObject(() => remote.read(number)));
    if (found === null) return null;
    const { numbered, publication } = found;
    const one = { number: numbered.number, at: publication?.at ?? 0, rents: numbered.settings.rents };
    this.#known.set(one.number, one);
    return one;
  }
}
