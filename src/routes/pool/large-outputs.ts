/** Outputs that pools put into object storage, for screening. */
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";
import type { LargeOutputs } from "./screen-claim.ts";

/** Kinds of files that hold text. */
const TEXT = /^(?:text\/|application\/(?:[a-z0-9.-]+\+)?(?:json|xml|yaml|x-ndjson|jsonl|javascript|rtf)\b|image\/svg)/i;
/** What an isolate holds of one. */
const MAX_SCREENED_BYTES = 8 * 1024 * 1024;

export function largeOutputs(bucket: R2Bucket): LargeOutputs {
  return {
    async read(key) {
      const object = await bucket.get(key);
      if (object === null) return null;
      refuseTooLarge(object);
      const text = await object.text();
      try {
        return JSON.parse(text) as Json;
      } catch {
        return text;
      }
    },

    /** Under the key of its claim, which no other claim can name. */
    async write(key, output) {
      await bucket.put(key, JSON.stringify(output), { httpMetadata: { contentType: "application/json" } });
    },

    async readText(key) {
      const head = await bucket.head(key);
      if (head === null || !TEXT.test(head.httpMetadata?.contentType ?? "")) return null;
      refuseTooLarge(head);
      return (await (await bucket.get(key))?.text()) ?? null;
    },

    async writeText(key, text) {
      const { httpMetadata = {}, customMetadata = {} } = (await bucket.head(key)) ?? {};
      await bucket.put(key, text, { httpMetadata, customMetadata });
    },
  };
}

function refuseTooLarge({ size }: R2Object): void {
  if (size <= MAX_SCREENED_BYTES) return;
  const detail = `An output of more than ${MAX_SCREENED_BYTES / 1024 / 1024} MiB can't be screened.`;
  throw new EdgeplaneError("guard_unavailable", detail);
}
