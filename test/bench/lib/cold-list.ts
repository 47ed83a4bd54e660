/** How long an isolate waits for a compiled word list that it does not have: read from object storage, then loaded. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

const PLUGIN = fileURLToPath(new URL("../../../plugins/content-safety/word-list.ts", import.meta.url));
const WORKER = `
import { loadWordList } from ${JSON.stringify(PLUGIN)};
export default {
  async fetch(request, env) {
    if (request.method === "PUT") {
      await env.LISTS.put("list", await request.arrayBuffer());
      return new Response("kept");
    }
    if (new URL(request.url).pathname === "/bare") return new Response("0");
    const kept = await env.LISTS.get("list");
    return new Response(String(loadWordList(await kept.arrayBuffer()).termMeta.length));
  },
};`;

/** Milliseconds of each fetch, less those of a request that fetches nothing. */
export async function coldFetches(buffer: ArrayBuffer, terms: number, rounds: number): Promise<number[]> {
  const built = await build({
    stdin: { contents: WORKER, resolveDir: ".", loader: "js" },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2024",
  });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      telemetry: { enabled: false },
      workers: [
        {
          name: "lists",
          modules: true,
          compatibilityDate: "2026-11-02",
          script: built.outputFiles[0]?.text ?? "",
          r2Buckets: ["LISTS"],
        },
      ],
    }),
  );
  const ask = async (path: string): Promise<{ ms: number; text: string }> => {
    const begin = performance.now();
    const text = await (await miniflare.dispatchFetch(`http://localhost${path}`)).text();
    return { ms: performance.now() - begin, text };
  };
  try {
    await miniflare.dispatchFetch("http://localhost/", { method: "PUT", body: buffer });
    const times: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const bare = await ask("/bare");
      const cold = await ask("/list");
      if (cold.text !== String(terms)) throw new Error(`the list came back as ${cold.text}`);
      times.push(cold.ms - bare.ms);
    }
    return times;
  } finally {
    await miniflare.dispose();
  }
}
