/**
 * Whether a GPU computes, asked before any work is put on it: a program is run with only that device visible. It exits
 * with 0 when the device is well, with 1 when it is sick, and with anything else when it can't tell.
 */
import { fileURLToPath } from "node:url";
import { hiddenSecrets } from "../hidden-secrets.ts";
import { askProgram } from "./ask-program.ts";
import type { Answer } from "./ask-program.ts";

const PYTHON_PATH = fileURLToPath(new URL("../../python", import.meta.url));
/** A driver that hangs is as sick as one that fails. */
const LIMIT_MS = 60_000;
const SHOWN_CHARACTERS = 300;
const SICK = 1;

/** `sick`: nothing may be put on it. `unknown`: it could not be checked. `why`: in words. */
export type CheckResult = { state: "well" | "sick" | "unknown"; why: string };

type Check = (id: string) => Promise<CheckResult>;

/** The check that `--device-check` asks for: the pool's own (`auto`), none (`off`), or a program. */
export function deviceCheckOf(setting: string): { check?: Check } {
  if (setting === "off") return {};
  return { check: async (id) => checkDevice(id, setting === "auto" ? null : setting) };
}

/** `program`: what to run in place of the pool's own check (python/edgeplane_check). Never throws. */
export async function checkDevice(id: string, program: string | null, limitMs = LIMIT_MS): Promise<CheckResult> {
  const python = process.env["EDGEPLANE_PYTHON"] ?? "python3";
  const [command, args] = program === null ? [python, ["-m", "edgeplane_check"]] : [program, [id]];
  const env = {
    ...process.env,
    ...hiddenSecrets,
    PYTHONPATH: PYTHON_PATH,
    CUDA_VISIBLE_DEVICES: id,
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
  };
  try {
    const answer = await askProgram(command, args, limitMs, env);
    if (answer === null) return { state: "sick", why: `its check did not end within ${limitMs / 1000} s` };
    return resultOf(answer);
  } catch (error) {
    return { state: "unknown", why: error instanceof Error ? error.message : String(error) };
  }
}

function resultOf({ error, stdout, stderr }: Answer): CheckResult {
  const said = (stdout.trim() || stderr.trim()).split("\n").at(-1)?.slice(0, SHOWN_CHARACTERS) ?? "";
  if (error === null) return { state: "well", why: said };
  return { state: error.code === SICK ? "sick" : "unknown", why: said === "" ? error.message : said };
}
