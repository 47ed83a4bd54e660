/** Environments as builds leave them, hosts that have them from each other, and an edge between those. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, onTestFinished } from "vitest";
import { EnvironmentLayers } from "../gpu-pool/layers/environment-layers.ts";
import type { LayersOptions } from "../gpu-pool/layers/environment-layers.ts";
import type { LayerWish } from "../gpu-pool/runtime/environments/layer-key.ts";
import { createHttpClient } from "../gpu-pool/transport/http-client.ts";
import { startStoredEnvironments, StoredEnvironments } from "./stored-environments.ts";

export const SITE = "lib/python3.11/site-packages";
export const large = randomBytes(3 * 1024 * 1024);
export const quick = { pause: { firstMs: 1, capMs: 2 }, lookAgainMs: 5 };

export type Tree = Record<string, string | Buffer>;
export function write(dir: string, files: Tree): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content, { mode: path.startsWith("bin/") ? 0o755 : 0o644 });
  }
}

const about = { python: "3.11.4", platform: "linux-x86_64", libc: "glibc 2.36", cuda: null };
export const HARDWARE = { cpu: ["avx2", "fma"], gpus: ["H200"] };
export const wishFor = (key: string, owner = "acme", has = HARDWARE): LayerWish => ({
  ...{ owner, key: key.padEnd(64, "0"), about, host: has },
});
export const offerOf = (dir: string, buildMs = 60_000) => ({
  dir,
  builtAtMs: Date.now() + 5000,
  buildMs,
  hold: () => () => {},
});

/** What a file of tests has of its own; each test finds the edge empty. */
export class LayerHosts {
  readonly root = mkdtempSync(join(tmpdir(), "edgeplane-layers-"));
  stored = new StoredEnvironments();
  url = new URL("http://127.0.0.1:9");
  #folders = 0;

  constructor() {
    let close = (): void => {};
    beforeAll(async () => {
      const edge = await startStoredEnvironments();
      ({ close, url: this.url, stored: this.stored } = edge);
    });
    beforeEach(() => {
      const { stored } = this;
      stored.chunks.clear();
      stored.layers.clear();
      Object.assign(stored, { mayStore: true, busy: 0, refusal: null, isStalled: false, onStored: () => {} });
      for (const list of [stored.problems, stored.asked]) list.length = 0;
    });
    afterAll(() => {
      close();
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  newFolder(name = "env"): string {
    const dir = join(this.root, `${name}-${(this.#folders += 1)}`);
    mkdirSync(dir);
    return dir;
  }

  /** As a build leaves it: with what every bare environment has, too. */
  built(more: Tree = {}): string {
    const dir = this.newFolder();
    write(dir, {
      "pyvenv.cfg": `home = /usr/bin\ncommand = python -m venv ${dir}\n`,
      "edgeplane.json": "{}",
      "bin/activate": `VIRTUAL_ENV=${dir}\n`,
      "bin/tool": `#!${dir}/bin/python\nprint("é")\n`,
      [`${SITE}/pkg/__init__.py`]: "A = 1\n",
      [`${SITE}/pkg/__pycache__/__init__.cpython-311.pyc`]: Buffer.from([0, 1, 2, 3, ...Buffer.from(dir)]),
      [`${SITE}/pkg/empty`]: "",
      [`${SITE}/pkg/large.so`]: large,
      [`${SITE}/other/large-again.so`]: large,
      ...more,
    });
    symlinkSync("/usr/bin/python3", join(dir, "bin/python"));
    symlinkSync("lib", join(dir, "lib64"));
    symlinkSync("large.so", join(dir, SITE, "pkg/liblarge.so.1"));
    return dir;
  }

  /** A host of its own, unless it is given another's folder. */
  host(more: Partial<LayersOptions> = {}): EnvironmentLayers {
    const http = createHttpClient(this.url, {});
    onTestFinished(() => http.close());
    return new EnvironmentLayers({
      http,
      log: pino({ level: "silent" }),
      environmentsDir: this.newFolder("host"),
      budgetBytes: Infinity,
      leastFreeBytes: 0,
      isBusy: () => false,
      isShort: () => false,
      waits: quick,
      ...more,
    });
  }

  async store(dir: string, wish: LayerWish, by = this.host()): Promise<EnvironmentLayers> {
    by.offer(wish, offerOf(dir));
    await by.settled();
    return by;
  }

  async unpack(wish: LayerWish, by = this.host(), lines: string[] = [], dir = this.newFolder("bare")): Promise<string> {
    const found = await by.find(wish);
    if (found === null) throw new Error("none is stored");
    write(dir, { "pyvenv.cfg": "home = /elsewhere\n", "bin/activate": "own" });
    symlinkSync("/elsewhere/python3", join(dir, "bin/python"));
    await found.unpack(dir, (line) => lines.push(line));
    return dir;
  }

  chunkPuts(): string[] {
    return this.stored.asked.filter((asked) => /^PUT .*\/chunks\//.test(asked));
  }
}
