/** An `nvidia-smi` for tests, which says what it is told to. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type FakeGpus = {
  /** For the pool: finds this `nvidia-smi` before any other. */
  env: Record<string, string>;
  /** From now on it is this shell script. */
  become(script: string): void;
  remove(): void;
};

export function makeFakeGpus(script: string): FakeGpus {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-gpus-"));
  const file = join(folder, "nvidia-smi");
  const become = (text: string): void => {
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
  };
  become(script);
  return {
    env: { PATH: `${folder}:${process.env["PATH"] ?? ""}`, CUDA_VISIBLE_DEVICES: "0,1,2,3,4,5,6,7" },
    become,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
