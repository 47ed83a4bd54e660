/** What plugins compile of their settings, in object storage. */
import type { Artifacts } from "../../plugins/kernel/services.ts";

const PREFIX = "artifacts/";
const NAME = /^[A-Za-z0-9._-]{1,128}$/;

export function createArtifacts(bucket: R2Bucket): Artifacts {
  return {
    async get(name, make) {
      if (!NAME.test(name)) throw new Error(`"${name}" is no name for an artifact`);
      const kept = await bucket.get(PREFIX + name);
      if (kept !== null) return new Uint8Array(await kept.arrayBuffer());
      const made = await make();
      await bucket.put(PREFIX + name, made);
      return made;
    },
  };
}
