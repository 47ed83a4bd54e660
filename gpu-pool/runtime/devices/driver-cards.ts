/**
 * The cards that the driver has, whatever `nvidia-smi` names: its first list may be short. Those count that this
 * process may open: in a container the driver may list all cards of the machine.
 *
 * Source of the format: README of the NVIDIA Linux driver, "Using the proc Filesystem Interface".
 */
import { constants } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { askProgram } from "./ask-program.ts";

export type DriverCard = { uuid: string; name: string };

const LIMIT_MS = 10_000;

/**
 * In the order of their PCI addresses, by which `nvidia-smi` numbers them; none where there are no more than the
 * `named` ones, and where there is no such driver. Never throws. `root`: in place of `/`.
 */
export async function askDriver(named: number, root = "/", limitMs = LIMIT_MS): Promise<DriverCard[]> {
  const folder = join(root, "proc/driver/nvidia/gpus");
  const names = await readdir(folder).catch((): string[] => []);
  if (names.length <= named) return [];
  const paths = names.toSorted().map((name) => join(folder, name, "information"));
  // A driver whose card hangs lets whoever reads them wait, for ever: that must be no thread of this process.
  const answer = await askProgram("cat", paths, limitMs).catch(() => null);
  const parts = (answer?.stdout ?? "").split(/^(?=Model:)/m);
  const cards = await Promise.all(parts.map(async (part) => cardOf(part, root)));
  return cards.filter((card) => card !== null);
}

async function cardOf(text: string, root: string): Promise<DriverCard | null> {
  const values = new Map(text.split("\n").map((line) => valueOf(line)));
  const [uuid, minor] = [values.get("GPU UUID"), values.get("Device Minor")];
  // A card that the driver has not started yet shows question marks.
  if (uuid === undefined || minor === undefined || !/^GPU-[\da-f-]+$/i.test(uuid) || !/^\d+$/.test(minor)) return null;
  if (values.get("GPU Excluded") === "Yes") return null;
  const mayOpen = await access(join(root, `dev/nvidia${minor}`), constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return mayOpen ? { uuid, name: values.get("Model") ?? uuid } : null;
}

function valueOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}
