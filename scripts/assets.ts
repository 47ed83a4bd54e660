/**
 * `npm run assets`: writes the files that a deployment serves beside the Worker (the script of `/docs`, and the pool
 * with its installer), and names their folder.
 */
import { ensureDocsAssets } from "./lib/docs-assets.ts";
import { writePoolArchive } from "./lib/pool-archive.ts";

const HELP = `npm run assets

Writes the files that are served beside the Worker and prints their folder:

  npx wrangler deploy --assets "$(npm run --silent assets)"

They are the script of /docs, and for GPU hosts /pool/install.sh and the archive that it installs. \`npm run serve\` serves
them by itself.`;

if (process.argv.includes("--help")) console.log(HELP);
else {
  const folder = await ensureDocsAssets();
  await writePoolArchive(folder);
  console.log(folder);
}
