/** Outputs that pools put into object storage, for screening. */
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Json } from "../../contract/prediction.ts";
import type { LargeOutputs } from "./screen-claim.ts";

/** What an isolate holds of one. */
const MAX_SCREENED_BYTES = 8 * 1024 * 1024;

export function largeOutputs(bucket: R2Bucket): LargeOutputs {
  return {
    async read(key) {
      const object = await bucket.get(key);
      if (object === null) return null;
      if (object.size > MAX_SCREENED_BYTES) {
        const detail = `An output of more than ${MAX_SCREENED_BYTES / 1024 / 1024} MiB can't be screened.`;
        throw new EdgeplaneError("guard_unavailable", detail);
      }
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
  };
}
