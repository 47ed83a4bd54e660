/** The settings object as its callers see it. */
import type { Env } from "../env.ts";
import { objectNamed } from "../object-calls.ts";
import type { AuditCounts } from "../telemetry/audit-counts.ts";
import type { VerdictCount } from "../telemetry/verdict-counts.ts";
import type { NumberedSettings, Settings } from "./schema.ts";
import type { Refresh, SettingsStats } from "./settings-object.ts";
import type { NewPublication, Publication } from "./store.ts";

const NAME = "settings";

/** The platform's own stub type walks through every type of the signatures: the methods are restated here instead. */
export type RemoteSettings = {
  refresh(refresh: Refresh, verdicts: readonly VerdictCount[], audit: AuditCounts): Promise<NumberedSettings | null>;
  read(number: number | null): Promise<{ numbered: NumberedSettings; publication: Publication | null } | null>;
  list(before: number, limit: number): Promise<Publication[]>;
  publish(settings: Settings, publication: NewPublication, expected: number | null): Promise<Publication | null>;
  stats(): Promise<SettingsStats>;
};

export function settingsObject(env: Env): RemoteSettings {
  const stub: unknown = objectNamed(env.SETTINGS, NAME);
  return stub as RemoteSettings;
}
