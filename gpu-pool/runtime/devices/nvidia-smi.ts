/**
 * What `nvidia-smi` says of this host's GPUs. It may be missing, fail, or hang for minutes where a driver is sick: each
 * of these is an answer with a reason, and never an empty list that looks like a host without GPUs.
 *
 * Source of the fields: `nvidia-smi --help-query-gpu`.
 */
import { askProgram } from "./ask-program.ts";
import type { Answer } from "./ask-program.ts";

const FIELDS = [
  "index",
  "uuid",
  "name",
  "memory.total",
  "memory.used",
  "utilization.gpu",
  "temperature.gpu",
  "power.draw",
  "ecc.errors.uncorrected.volatile.total",
] as const;
/** How many of them stand before the name, which may hold commas, and behind it. */
const BEFORE_NAME = 2;
const BEHIND_NAME = FIELDS.length - BEFORE_NAME - 1;
const QUERY = [`--query-gpu=${FIELDS.join(",")}`, "--format=csv,noheader,nounits"];

const LIMIT_MS = 10_000;
const MEBIBYTE = 1024 * 1024;
const SHOWN_CHARACTERS = 300;
/** What stands in place of a number where the card no longer answers. */
const SICK = /^\[(GPU requires reset|GPU is lost|Unknown Error)\]$/i;

export type CudaDevice = {
  /** The index that CUDA_VISIBLE_DEVICES takes, with devices in the order of their bus. */
  id: string;
  uuid: string;
  name: string;
  memoryBytes: number | null;
  usedBytes: number | null;
  /** Percent of the last second or less in which a kernel ran. */
  utilizationPercent: number | null;
  temperatureCelsius: number | null;
  powerWatts: number | null;
  /** Since the driver was loaded; null where the card has no ECC. */
  uncorrectedEccErrors: number | null;
  /** Why nothing new may be put on it; null when it is well. */
  problem: string | null;
};

/** `problem`: why there are no devices, or, beside some, what `nvidia-smi` complained of. */
export type SmiReport = { devices: CudaDevice[]; problem: string | null };

/** Asks once, for `limitMs` at most. Rejects where no program can be started. */
export async function askNvidiaSmi(limitMs = LIMIT_MS): Promise<SmiReport> {
  const answer = await askProgram("nvidia-smi", QUERY, limitMs);
  if (answer === null) return { devices: [], problem: `nvidia-smi gave no answer within ${limitMs / 1000} s` };
  return reportOf(answer);
}

function reportOf({ error, stdout, stderr }: Answer): SmiReport {
  const { devices, complaints } = parseNvidiaSmi(stdout);
  if (error === null && devices.length > 0) return { devices, problem: null };
  const said = [...complaints, ...stderr.trim().split("\n")].filter((line) => line !== "").join(" ");
  const words = said.slice(0, SHOWN_CHARACTERS);
  if (error === null)
    return { devices, problem: words === "" ? "nvidia-smi shows no GPU" : `nvidia-smi says: ${words}` };
  if (error.code === "ENOENT")
    return { devices, problem: "there is no nvidia-smi on the PATH: the NVIDIA driver is not installed here" };
  const how = typeof error.code === "number" ? ` (exit code ${error.code})` : "";
  return { devices, problem: `nvidia-smi failed${how}: ${words === "" ? error.message : words}` };
}

/** Reads the lines of its answer; what is no line of a device is a complaint. */
export function parseNvidiaSmi(text: string): { devices: CudaDevice[]; complaints: string[] } {
  const devices: CudaDevice[] = [];
  const complaints: string[] = [];
  for (const line of text.split("\n").map((one) => one.trim())) {
    const device = deviceOf(line.split(/,\s*/));
    if (device !== null) devices.push(device);
    else if (line !== "") complaints.push(line);
  }
  return { devices, complaints };
}

function deviceOf(cells: readonly string[]): CudaDevice | null {
  const [id, uuid] = cells;
  if (id === undefined || uuid === undefined || !/^\d+$/.test(id) || cells.length < FIELDS.length) return null;
  const values = cells.slice(-BEHIND_NAME);
  const [memory, used, utilization, temperature, power, ecc] = values.map(numberOf);
  const uncorrectedEccErrors = ecc ?? null;
  return {
    id,
    uuid,
    name: cells.slice(BEFORE_NAME, -BEHIND_NAME).join(", "),
    memoryBytes: scaled(memory),
    usedBytes: scaled(used),
    utilizationPercent: utilization ?? null,
    temperatureCelsius: temperature ?? null,
    powerWatts: power ?? null,
    uncorrectedEccErrors,
    problem: problemOf(id, values, uncorrectedEccErrors),
  };
}

/** Nothing new goes on a card that needs a reset, or whose memory has lost data since the driver was loaded. */
function problemOf(id: string, values: readonly string[], eccErrors: number | null): string | null {
  const sick = values.find((value) => SICK.test(value));
  if (sick !== undefined) return `GPU ${id} does not answer: ${sick.slice(1, -1)}`;
  if (eccErrors === null || eccErrors === 0) return null;
  return `GPU ${id} has ${eccErrors} uncorrected memory errors (ECC): reset it, or start the host again`;
}

function numberOf(cell: string): number | null {
  const value = Number(cell);
  return cell === "" || !Number.isFinite(value) ? null : value;
}

function scaled(mebibytes: number | null | undefined): number | null {
  return mebibytes === null || mebibytes === undefined ? null : mebibytes * MEBIBYTE;
}
