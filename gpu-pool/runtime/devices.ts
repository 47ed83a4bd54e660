/**
 * The devices of this host that the pool may use: what `nvidia-smi` finds and CUDA_VISIBLE_DEVICES leaves, and the CPU.
 */
import { execFile } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { promisify } from "node:util";
import type { Device } from "../../src/contract/channel.ts";

const QUERY = ["--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"];

/** CUDA devices, or the one CPU when there are none. */
export async function findDevices(): Promise<Device[]> {
  const cuda = await findCuda();
  if (cuda.length > 0) return cuda;
  const name = `${cpus()[0]?.model.trim() ?? "CPU"} (${availableParallelism()} threads)`;
  return [{ id: "cpu", kind: "cpu", name, memoryBytes: totalmem() }];
}

async function findCuda(): Promise<Device[]> {
  try {
    const { stdout } = await promisify(execFile)("nvidia-smi", QUERY, { timeout: 10_000 });
    return visibleOf(parseNvidiaSmi(stdout), process.env["CUDA_VISIBLE_DEVICES"]);
  } catch {
    return [];
  }
}

export type FoundDevice = { uuid: string; device: Device };

/** Reads lines of `index, uuid, name, MiB`; a line that isn't one is passed over. */
export function parseNvidiaSmi(text: string): FoundDevice[] {
  const devices: FoundDevice[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*(\d+),\s*(\S+),\s*(.+?),\s*(\d+|\[N\/A\])\s*$/.exec(line);
    const [, id, uuid, name, mebibytes] = match ?? [];
    if (id === undefined || uuid === undefined || name === undefined) continue;
    const memory = Number(mebibytes);
    const memoryBytes = Number.isFinite(memory) ? memory * 1024 * 1024 : null;
    devices.push({ uuid, device: { id, kind: "cuda", name, memoryBytes } });
  }
  return devices;
}

/**
 * Those that the value of CUDA_VISIBLE_DEVICES names, in its order; all when it is not set. Numbers are nvidia-smi's.
 * Source: CUDA C Programming Guide, "CUDA Environment Variables": ids may be cut short, and an unknown one hides all
 * that come behind it.
 */
export function visibleOf(found: readonly FoundDevice[], list: string | undefined): Device[] {
  if (list === undefined) return found.map(({ device }) => device);
  const visible: Device[] = [];
  for (const entry of list.split(",").map((one) => one.trim())) {
    if (entry.startsWith("MIG-")) {
      visible.push({ id: entry, kind: "cuda", name: entry, memoryBytes: null });
      continue;
    }
    const isNumber = /^\d+$/.test(entry);
    const [only, ...others] = found.filter(({ uuid, device }) =>
      isNumber ? device.id === entry : entry.startsWith("GPU-") && uuid.startsWith(entry),
    );
    if (only === undefined || others.length > 0) break;
    visible.push(only.device);
  }
  return visible;
}
