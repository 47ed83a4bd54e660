/** Models that are pushed through the API come to the pool that runs, are set up there, answer, and leave again. */
import { expect, inject, test } from "vitest";
import * as z from "zod";
import { encodeFrames } from "../../src/contract/chunk-frames.ts";
import { pack } from "../pushed-files.ts";

const stack = inject("stack");
const NAME = "pushed-to-a-pool";
const PATH = `/v1/models/local/${NAME}`;
const VersionSchema = z.looseObject({
  id: z.string(),
  edgeplane: z.looseObject({ status: z.string(), problem: z.string().nullable(), log: z.string().nullable() }),
});

const CODE = `
import os

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        here = os.path.dirname(os.path.abspath(__file__))
        self.size = os.path.getsize(os.path.join(here, "weights.bin"))

    def run(self, text: str) -> str:
        return f"WORD {text} {self.size}"
`;
const weights = Buffer.alloc(1_500_000, "weights ");
const files = (word: string, code = CODE) => ({
  "cog.yaml": 'run: "run.py:Runner"\n',
  "run.py": code.replace("WORD", word),
  "weights.bin": weights,
});

async function call(method: string, path: string, body?: unknown, type = "application/json"): Promise<Response> {
  const headers = { authorization: `Bearer ${stack.apiKey}`, "content-type": type, prefer: "wait=30" };
  const sent = body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body);
  return fetch(`${stack.url}${path}`, { method, headers, ...(body === undefined ? {} : { body: sent }) });
}

async function push(content: Record<string, string | Buffer>): Promise<string> {
  const { bundle, chunks } = pack(content);
  const frames = Array.from(chunks, ([sha256, bytes]) => ({ sha256, content: new Uint8Array(bytes) }));
  const sent = await call("POST", `${PATH}/chunks`, encodeFrames(frames), "application/octet-stream");
  expect(sent.status).toBe(204);
  const answer = await call("POST", `${PATH}/versions`, { bundle, manifest: {} });
  expect(answer.status).toBe(201);
  return VersionSchema.parse(await answer.json()).id;
}

const stateOf = async (version: string) =>
  VersionSchema.parse(await (await call("GET", `${PATH}/versions/${version}`)).json()).edgeplane;
const outputOf = async (version: string) => {
  const answer = await call("POST", "/v1/predictions", { version: `local/${NAME}:${version}`, input: { text: "hi" } });
  return z.looseObject({ output: z.unknown() }).parse(await answer.json()).output;
};

test("versions that are pushed become live on the pool that runs, one that can't be set up says why, and all answer", async () => {
  const first = await push(files("first"));
  await expect.poll(async () => (await stateOf(first)).status).toBe("live");
  expect(await outputOf(first)).toBe(`first hi ${weights.length}`);
  const second = await push(files("second"));
  await expect.poll(async () => (await stateOf(second)).status).toBe("live");
  expect([await outputOf(first), await outputOf(second)]).toEqual([
    `first hi ${weights.length}`,
    `second hi ${weights.length}`,
  ]);

  const bad = await push(files("bad", "print('one word first')\nraise RuntimeError('no weights here')\n"));
  await expect.poll(async () => (await stateOf(bad)).status).toBe("failed");
  const { problem, log } = await stateOf(bad);
  expect(`${problem}\n${log}`).toMatch(/no weights here/);
  expect(await outputOf(second)).toBe(`second hi ${weights.length}`);
});
