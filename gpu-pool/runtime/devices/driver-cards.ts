/**
 * The cards that the driver has, whatever `nvidia-smi` names: its first list may be short. Those count that this
 * process may open: in a container the driver may list all cards of the machine.
 *
 * Source of the format: README of the NVIDIA Linux driver, "Using the proc Filesystem Interface".
 */
import { constants } from "node:fs";
import { access, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export type DriverCard = { uuid: string; name: string };

/**
 * In the order of their PCI addresses, by which `nvidia-smi` numbers them. Never throws: where there is no such driver,
 * there are none. `root`: in place of `/`.
 */
export async function askDriver(root = "/"): Promise<DriverCard[]> {
  const folder = join(root, "proc/driver/nvidia/gpus");
  const names = await readdir(folder).catch((): string[] => []);
  const cards = await Promise.all(names.toSorted().map(async (name) => cardAt(join(folder, name), root)));
  return cards.filter((card) => card !== null);
}

async function cardAt(folder: string, root: string): Promise<DriverCard | null> {
  try {
    const text = await readFile(join(folder, "information"), "utf8");
    const values = new Map(text.split("\n").map((line) => valueOf(line)));
    const [uuid, minor] = [values.get("GPU UUID"), values.get("Device Minor")];
    // A card that the driver has not started yet shows question marks.
    if (uuid === undefined || minor === undefined || !/^GPU-[\da-f-]+$/i.test(uuid) || !/^\d+$/.test(minor))
      return null;
    if (values.get("GPU Excluded") === "Yes") return null;
    await access(join(root, `dev/nvidia${minor}`), constants.R_OK | constants.W_OK);
    return { uuid, name: values.get("Model") ?? uuid };
  } catch {
    return null;
  }
}

function valueOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
}
