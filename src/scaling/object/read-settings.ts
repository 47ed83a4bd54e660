/** The settings object as far as scaling needs it: objects don't know the settings' own types. */
import { ScalingSettingsSchema } from "../../contract/scaling.ts";
import type { ScalingSettings } from "../../contract/scaling.ts";
import type { Env } from "../../env.ts";
import { callObject, objectNamed } from "../../object-calls.ts";

export async function readSettings(env: Pick<Env, "SETTINGS">): Promise<ScalingSettings> {
  const stub: unknown = objectNamed(env.SETTINGS, "settings");
  const remote = stub as { read(number: null): Promise<{ numbered: { settings: { scaling?: unknown } } } | null> };
  const found = await callObject(() => remote.read(null));
  return ScalingSettingsSchema.parse(found?.numbered.settings.scaling ?? {});
}
