/** The PEM files that settings name. */
import { readFileSync } from "node:fs";
import { SettingsError } from "./settings.ts";
import type { TlsSettings } from "./settings.ts";

/** Reads one. Throws `SettingsError`, which names the setting. */
export function readPem(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new SettingsError(`${setting} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The files of a TLS client, as far as there are some. `setting` is where they stand, such as `kafka.tls`. */
export function readTlsFiles(
  setting: string,
  { ca, cert, key }: TlsSettings,
): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  return {
    ...(ca === undefined ? {} : { ca: readPem(`${setting}.ca`, ca) }),
    ...(cert === undefined ? {} : { cert: readPem(`${setting}.cert`, cert) }),
    ...(key === undefined ? {} : { key: readPem(`${setting}.key`, key) }),
  };
}
