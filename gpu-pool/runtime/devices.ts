/** The devices of this host: what `nvidia-smi` finds, and the CPU. */
import { execFile } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { promisify } from "node:util";
import type { Device } from "../../src/contract/channel.ts";

const QUERY = ["--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"];

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
    return parseNvidiaSmi(stdout);
  } catch {
    return [];
  }
}

/** Reads lines of `index, name, MiB`; a line that isn't one is passed over. */
export function parseNvidiaSmi(text: string): Device[] {
  const devices: Device[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*(\d+),\s*(.+?),\s*(\d+|\[N\/A\])\s*$/.exec(line);
    const [, id, name, mebibytes] = match ?? [];
    if (id === undefined || name === undefined) continue;
    const memory = Number(mebibytes);
    devices.push({ id, kind: "cuda", name, memoryBytes: Number.isFinite(memory) ? memory * 1024 * 1024 : null });
  }
  return devices;
}
