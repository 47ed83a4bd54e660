/** `/pool/install.sh` and the archive that it installs: what a GPU host needs, from the edge that it will serve. */
import { Hono } from "hono";
import * as z from "zod";
import type { App } from "../app.ts";
import { serveAsset } from "../asset.ts";
import { operation } from "../operation.ts";

const INSTALLER_PATH = "/install.sh";
const ARCHIVE_PATH = "/edgeplane-pool.tar.gz";
/** An upgrade is to be there at once. */
const CACHE = "no-cache";

const script = { 200: { description: "A shell script.", content: { "text/x-shellscript": { schema: z.string() } } } };
const archive = {
  200: { description: "The pool, as a tar.", content: { "application/gzip": { schema: z.string() } } },
};

export function installerRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    INSTALLER_PATH,
    operation(
      {
        id: "getPoolInstaller",
        tag: "Pools",
        summary: "Get the script that installs a pool on a GPU host",
        access: "anyone",
        answers: script,
        errors: ["not_found"],
      },
      async (c) => serveAsset(c, `/pool${INSTALLER_PATH}`, "text/x-shellscript; charset=utf-8", CACHE),
    ),
  );

  routes.get(
    ARCHIVE_PATH,
    operation(
      {
        id: "getPoolArchive",
        tag: "Pools",
        summary: "Get the archive that it installs",
        access: "anyone",
        answers: archive,
        errors: ["not_found"],
      },
      async (c) => serveAsset(c, `/pool${ARCHIVE_PATH}`, "application/gzip", CACHE),
    ),
  );

  return routes;
}
