import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Manifest } from "../../src/contract/manifest.ts";
import { COMMIT, startHuggingFace } from "../../test/hugging-face.ts";
import { pack, PushedFiles } from "../../test/pushed-files.ts";
import { createHttpClient } from "../transport/http-client.ts";
import { ContentFetcher } from "./content-fetcher.ts";
import type { Fetching } from "./content-fetcher.ts";
import { Contents, contentOf } from "./contents.ts";
import type { Content } from "./contents.ts";
import { EdgeFiles } from "./edge-files.ts";
import { ModelFolders } from "./model-folders.ts";
import { FetchProblem } from "./problems.ts";
import { PushedModel } from "./pushed-model.ts";
import { linkInto, writeInto } from "./unpack.ts";

let root = "";
const ends: (() => void)[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "edgeplane-pushed-"));
});
afterEach(() => {
  for (const end of ends.splice(0)) end();
  rmSync(root, { recursive: true, force: true });
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("weights that one owner named by reference are no other owner's, who only knows their hash", async () => {
  const weights = randomBytes(2_000_000);
  await using hub = await startHuggingFace();
  await using hers = await startHuggingFace();
  for (const { files } of [hub, hers]) files.set("org/repo/w.bin", { bytes: weights, isLfs: true });
  // It says what the other says of the file, and has none of it.
  hers.wrong = Buffer.alloc(weights.length);
  const pushed = new PushedFiles();
  const http = createHttpClient(
    new URL(await serve((request, reply) => void pushed.handle(request, Buffer.alloc(0), reply))),
    {},
  );
  ends.push(() => http.close());
  const options = {
    edge: new EdgeFiles(http, "none"),
    fetcher: new ContentFetcher({
      contents: new Contents(root),
      budgetBytes: Infinity,
      leastFreeBytes: 0,
      pause: { firstMs: 1, capMs: 2 },
    }),
    folders: new ModelFolders(root, "one"),
    rulesOf: ({ owner }: Manifest) =>
      Promise.resolve({ allowLoopback: true, token: null, huggingFace: owner === "eve" ? hers.url : hub.url }),
  };
  const complete = async (owner: string, name: string): Promise<string[]> => {
    const weight = `{path: w.bin, from: "hf://org/repo/w.bin@${COMMIT}"}`;
    const yaml = `# ${name}\nrun: "run.py:Runner"\nedgeplane:\n  weights:\n    - ${weight}\n`;
    const model = new PushedModel(await pushed.push({ "cog.yaml": yaml, "run.py": "" }, { owner, name }), options);
    await model.open();
    return model.complete(() => {});
  };
  const [first = ""] = await complete("ada", "first");
  expect((await readFile(first)).equals(weights)).toBe(true);
  const before = hub.asked.length;
  await complete("ada", "second");
  // It is asked what the file is, and sends it to nobody again.
  expect(hub.asked.slice(before).map((asked) => asked.split(" ")[0])).toEqual(["hub", "cdn"]);
  await expect(complete("eve", "third")).rejects.toBeInstanceOf(FetchProblem);
});

test("a small file in the place of a link leaves what is linked as it was", async () => {
  const contents = new Contents(root);
  const bytes = randomBytes(2_000_000);
  const { bundle } = pack({ "w.bin": bytes });
  const [file] = bundle.files;
  const content = file === undefined ? null : contentOf(file);
  if (content === null) throw new Error("no content");
  const partial = contents.partialOf(content);
  await mkdir(join(partial, ".."), { recursive: true });

  await writeFile(partial, bytes);
  await contents.seal(partial, content);
  const folder = join(root, "model");
  await mkdir(folder);
  await linkInto(folder, bundle.files, contents);
  await writeInto(folder, "w.bin", Buffer.from("other"));
  expect(await readFile(join(folder, "w.bin"), "utf8")).toBe("other");
  expect((await readFile(contents.pathOf(content))).equals(bytes)).toBe(true);
});

/** Another pool takes away one of the files, once, between their coming and their being copied. */
class Robbed extends ContentFetcher {
  #isRobbed = false;
  override async ensure(wanted: readonly Content[], fetching: Fetching): Promise<void> {
    await super.ensure(wanted, fetching);
    const last = wanted.at(-1);
    if (this.#isRobbed || last === undefined) return;
    this.#isRobbed = true;
    await rm(this.contents.pathOf(last));
  }
}

test("a file of code that another pool took away before it was copied is fetched again", async () => {
  const pushed = new PushedFiles();
  const url = await serve((request, reply) => void pushed.handle(request, Buffer.alloc(0), reply));
  const http = createHttpClient(new URL(url), {});
  ends.push(() => http.close());
  const manifest = await pushed.push({ "cog.yaml": 'run: "run.py:Runner"\n', "run.py": "x = 1\n" });
  const model = new PushedModel(manifest, {
    edge: new EdgeFiles(http, "none"),
    fetcher: new Robbed({ contents: new Contents(root), budgetBytes: Infinity, leastFreeBytes: 0 }),
    folders: new ModelFolders(root, "one"),
    rulesOf: () => Promise.resolve({ allowLoopback: true, token: null }),
  });
  const { dir } = await model.open();
  expect(await readFile(join(dir, "run.py"), "utf8")).toBe("x = 1\n");
  await model.close();
});
