/**
 * `npm run assets`: writes the files that a deployment serves beside the Worker (the script of `/docs`), and names
 * their folder.
 */
import { ensureDocsAssets } from "./lib/docs-assets.ts";

const HELP = `npm run assets

Writes the files that are served beside the Worker and prints their folder:

  npx wrangler deploy --assets "$(npm run --silent assets)"

The local stack serves them by itself.`;

console.log(process.argv.includes("--help") ? HELP : await ensureDocsAssets());
