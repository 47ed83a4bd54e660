/**
 * The pool as one archive that the edge serves: one bundled program, the model process's side in Python, and a script
 * that starts and stops it; beside it the script that installs it. The same sources make the same bytes.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { createGzip } from "node:zlib";
import { build } from "esbuild";
import { pack } from "tar-stream";

const root = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = "edgeplane-pool";
/** Some packages of the pool are CommonJS. */
const BANNER = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
/** Nothing is said of when it was made, or by whom. */
const FIXED = { mtime: new Date(0), uid: 0, gid: 0, uname: "root", gname: "root" } as const;

/** The Node that hosts get that have none: npm's packages `node-linux-<arch>`, with the hashes that npm has of them. */
const node = {
  version: "24.21.0",
  x64: "3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  arm64: "FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
} as const;

export type PoolArchive = { version: string; sha256: string; bytes: number };

/** Writes `pool/edgeplane-pool.tar.gz` and `pool/install.sh` into a folder of assets. */
export async function writePoolArchive(assets: string): Promise<PoolArchive> {
  const archive = await buildArchive();
  const sha256 = createHash("sha256").update(archive).digest("hex");
  const version = sha256.slice(0, 12);
  const installer = fill(readFileSync(join(root, "deploy/pool/install.sh"), "utf8"), {
    SHA256: sha256,
    VERSION: version,
    NODE_VERSION: node.version,
    NODE_SHA512_x64: hexOf(node.x64),
    NODE_SHA512_arm64: hexOf(node.arm64),
  });
  const folder = join(assets, "pool");
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of [
    ["edgeplane-pool.tar.gz", archive],
    ["install.sh", installer],
  ] as const) {
    writeFileSync(join(folder, `${name}.${process.pid}`), content);
    renameSync(join(folder, `${name}.${process.pid}`), join(folder, name));
  }
  return { version, sha256, bytes: archive.length };
}

async function buildArchive(): Promise<Buffer> {
  const built = await build({
    entryPoints: [join(root, "gpu-pool/main.ts")],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node22",
    minify: true,
    legalComments: "inline",
    banner: { js: BANNER },
    absWorkingDir: root,
  });
  const tar = pack();
  const add = (name: string, content: string | Buffer, mode = 0o644): void =>
    void tar.entry({ ...FIXED, name: `${FOLDER}/${name}`, mode }, content);
  add("main.mjs", built.outputFiles[0]?.text ?? "");
  add("edgeplane-pool", readFileSync(join(root, "deploy/pool/edgeplane-pool")), 0o755);
  add("LICENSE", readFileSync(join(root, "LICENSE")));
  for (const path of pythonFiles()) add(path, readFileSync(join(root, "gpu-pool", path)));
  tar.finalize();
  return buffer(tar.pipe(createGzip({ level: 9 })));
}

/** The child, and what models import as `cog`; by their paths in the pool's folder. */
function pythonFiles(): string[] {
  const folder = join(root, "gpu-pool/python");
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".py"))
    .map((entry) => relative(join(root, "gpu-pool"), join(entry.parentPath, entry.name)))
    .sort();
}

function fill(template: string, values: Record<string, string>): string {
  return template.replaceAll(/@([A-Za-z0-9_]+)@/g, (whole, name: string) => values[name] ?? whole);
}

function hexOf(base64: string): string {
  return Buffer.from(base64, "base64").toString("hex");
}
