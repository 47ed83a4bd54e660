/** The settings object as its callers see it. */
import type { Env } from "../env.ts";
import { objectNamed } from "../object-calls.ts";
import type { AuditCounts } from "../telemetry/audit-counts.ts";
import type { VerdictCount } from "../telemetry/verdict-counts.ts";
import { asJson } from "./diff.ts";
import type { KeptSettings, NumberedSettings } from "./schema.ts";
import type { Refresh, SettingsStats } from "./settings-object.ts";
import type { NewPublication, Publication } from "./store.ts";
import { readStored } from "./stored.ts";

const NAME = "settings";

/** The platform's own stub type walks through every type of the signatures: the methods are restated here instead. */
export type RemoteSettings = {
  refresh(refresh: Refresh, verdicts: readonly VerdictCount[], audit: AuditCounts): Promise<NumberedSettings | null>;
  read(number: number | null): Promise<{ numbered: NumberedSettings; publication: Publication | null } | null>;
  list(before: number, limit: number): Promise<Publication[]>;
  /** What crosses to the object, which may run the release before, has no key of its own for what is as usual. */
  publish(settings: KeptSettings, publication: NewPublication, expected: number | null): Promise<Publication | null>;
  stats(): Promise<SettingsStats>;
};

export function settingsObject(env: Env): RemoteSettings {
  const stub = objectNamed(env.SETTINGS, NAME) as unknown as RemoteSettings;
  return {
    async refresh(...asked) {
      const numbered = await stub.refresh(...asked);
      return numbered === null ? null : complete(numbered);
    },
    async read(number) {
      const found = await stub.read(number);
      return found === null ? null : { ...found, numbered: complete(found.numbered) };
    },
    list: (before, limit) => stub.list(before, limit),
    publish: (settings, publication, expected) => stub.publish(settings, publication, expected),
    stats: () => stub.stats(),
  };
}

/** The object may run another release: what that one didn't leave out, or doesn't know, is seen to here. */
function complete({ number, settings, ignored = [] }: NumberedSettings): NumberedSettings {
  const read = readStored(asJson(settings));
  const all = [...ignored, ...read.ignored];
  return { number, settings: read.settings, ...(all.length === 0 ? {} : { ignored: all }) };
}
