/**
 * The script that renders `/docs`, as a file: Scalar's, which is too large for the Worker's bundle and must not come
 * from somebody else's host. It is taken out of Scalar's plugin for Fastify, which carries it whole in 28 packages; the
 * package of its own has 284.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Where the files that are served as they are lie: at their paths. */
export const assetsFolder = join(root, "node_modules/.cache/edgeplane/assets");

const PackageSchema = z.object({ version: z.string() });
const PACKAGE = "@scalar/fastify-api-reference";
const SCRIPT_URL = "/docs/js/scalar.js";

type Route = { url: string; handler: (request: null, reply: Reply) => unknown };
type Reply = { header: () => Reply; send: (body: string) => string };

/**
 * Writes the files, unless they are there; answers their folder. `spare` takes them where the packages' folder can't be
 * written.
 */
export async function ensureDocsAssets(spare?: string): Promise<string> {
  try {
    return await writeAssets(assetsFolder);
  } catch (error) {
    const isReadOnly =
      error instanceof Error && "code" in error && ["EACCES", "EROFS", "EPERM"].includes(String(error.code));
    if (spare === undefined || !isReadOnly) throw error;
    return writeAssets(spare);
  }
}

async function writeAssets(folder: string): Promise<string> {
  const file = join(folder, "docs/scalar.js");
  const stamp = `${file}.version`;
  const { version } = PackageSchema.parse(
    JSON.parse(readFileSync(join(root, "node_modules", PACKAGE, "package.json"), "utf8")),
  );
  if (existsSync(file) && existsSync(stamp) && readFileSync(stamp, "utf8") === version) return folder;
  mkdirSync(dirname(file), { recursive: true });
  for (const [path, text] of [
    [file, await scalarScript()],
    [stamp, version],
  ] as const) {
    writeFileSync(`${path}.${process.pid}`, text);
    renameSync(`${path}.${process.pid}`, path);
  }
  return folder;
}

/** What the plugin would serve under `js/scalar.js`: it is registered on a server that only notes its routes. */
async function scalarScript(): Promise<string> {
  const routes: Route[] = [];
  const server = {
    initialConfig: {},
    hasPlugin: () => false,
    route: (route: Route) => routes.push(route),
    log: { warn: () => {} },
  };
  const scalar: { default: (...args: unknown[]) => void } = await import("@scalar/fastify-api-reference");
  scalar.default(server, { routePrefix: "/docs", configuration: { url: "/openapi.json" } }, () => {});
  const script = routes.find(({ url }) => url === SCRIPT_URL);
  const reply: Reply = { header: () => reply, send: (body) => body };
  return z.string().min(1).parse(script?.handler(null, reply));
}
