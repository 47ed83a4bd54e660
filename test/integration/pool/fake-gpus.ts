/**
 * An `nvidia-smi` for tests: it says what it is told to, or what models have allocated of cards that are numbers. The
 * memory of a card is a folder with a file for each process that lives and holds some of it, in MiB.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type FakeGpus = {
  /** For the pool: finds this `nvidia-smi` before any other. */
  env: Record<string, string>;
  [Symbol.dispose](): void;
};

/** One that is this shell script. */
export function makeFakeGpus(script: string): FakeGpus {
  return fakeIn(mkdtempSync(join(tmpdir(), "edgeplane-gpus-")), script);
}

/** Cards of these sizes, in MiB. The list ends before the first for which there is a file `INDEX.cut`. */
export function makeCards(sizes: readonly number[]): FakeGpus {
  const folder = mkdtempSync(join(tmpdir(), "edgeplane-gpus-"));
  for (const [index, size] of sizes.entries()) {
    mkdirSync(join(folder, String(index)));
    writeFileSync(join(folder, `${index}.size`), String(size));
  }
  const lines = sizes.map(
    (size, index) =>
      `[ ! -e ${folder}/${index}.cut ] || exit 0; used ${index}; echo "${index}, GPU-${index}, Test card, ${size}, $sum, 0, 30, 10, 0"`,
  );
  const lives = `[ -e "$f" ] && kill -0 "\${f##*/}" 2>/dev/null`;
  const used = `used() { sum=0; for f in ${folder}/$1/*; do ${lives} && sum=$((sum + $(cat "$f"))); done; }`;
  return fakeIn(folder, `${used}\n${lines.join("\n")}\ntrue`);
}

function fakeIn(folder: string, script: string): FakeGpus {
  const file = join(folder, "nvidia-smi");
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return {
    env: {
      PATH: `${folder}:${process.env["PATH"] ?? ""}`,
      CUDA_VISIBLE_DEVICES: "0,1,2,3,4,5,6,7",
      FAKE_CARDS: folder,
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
