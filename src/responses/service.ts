/**
 * The service `responses`: finds remembered outputs, and remembers those of predictions that succeeded. What is to be
 * remembered is a reservation of the prediction's row, so that its shard hands the output on whatever dies in between.
 */
import * as z from "zod";
import type { Answer, Reservation } from "../../plugins/kernel/phases.ts";
import type { ReservationEnd, ReservationService } from "../../plugins/kernel/reservations.ts";
import type { ResponseStore, ResponseTerms } from "../../plugins/kernel/services.ts";
import type { Env } from "../env.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { log } from "../telemetry/log.ts";
import type { ResponseEntry } from "./table.ts";

/** An output that links to a file of its prediction: the file goes with that. */
const FILE_LINK = "/v1/outputs/";

const DataSchema = z.object({
  key: z.string(),
  ttlMs: z.number(),
  maxBytes: z.number(),
  accountBytes: z.number(),
}) satisfies z.ZodType<ResponseTerms & { key: string }>;

export type ResponseService = ResponseStore &
  ReservationService & { forget(accountId: string, key: string): Promise<void> };

/** Under which the output of a prediction with these will be remembered; undefined: it won't. */
export function responseKeyOf(reservations: readonly Reservation[]): string | undefined {
  const own = reservations.find(({ service }) => service === "responses");
  return DataSchema.safeParse(own?.data).data?.key;
}

export function responseService(env: Pick<Env, "RESPONSES">): ResponseService {
  const objectOf = (accountId: string): RemoteResponses => {
    const stub: unknown = objectNamed(env.RESPONSES, accountId);
    return stub as RemoteResponses;
  };

  return {
    find: (accountId, key) => callObject(() => objectOf(accountId).find(key)),

    remember: (key, terms): Reservation => ({
      service: "responses",
      id: crypto.randomUUID(),
      data: { key, ...terms },
    }),

    forget: (accountId, key) => callObject(() => objectOf(accountId).forget(key)),

    async end(ends) {
      const byAccount = Map.groupBy(ends, ({ accountId }) => accountId);
      const calls = Array.from(byAccount, async ([accountId, own]) => {
        const entries = own.flatMap(entryOf);
        if (entries.length > 0) await callObject(() => objectOf(accountId).put(entries));
      });
      await Promise.all(calls);
    },
  };
}

/** The entry that an end becomes: none unless it succeeded and its output is small, and complete by itself. */
function entryOf({ answer, data, plugin, predictionId }: ReservationEnd): ResponseEntry[] {
  if (answer === undefined) return [];
  const terms = DataSchema.safeParse(data);
  if (!terms.success) {
    log.error("reservation_unreadable", { plugin, predictionId, reason: z.prettifyError(terms.error) });
    return [];
  }
  const text = JSON.stringify(answer);
  const { key, ttlMs, maxBytes, accountBytes } = terms.data;
  const bytes = new TextEncoder().encode(text).byteLength;
  if (bytes > maxBytes || text.includes(FILE_LINK)) return [];
  return [{ key, text, bytes, ttlMs, accountBytes }];
}

/** The platform's own stub type walks through every type of the signatures: the methods are restated here instead. */
type RemoteResponses = {
  find(key: string): Promise<Answer | null>;
  put(entries: ResponseEntry[]): Promise<void>;
  forget(key: string): Promise<void>;
};
