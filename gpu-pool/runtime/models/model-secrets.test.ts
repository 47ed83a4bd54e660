import { expect, test } from "vitest";
import { ManifestSchema } from "../../../src/contract/manifest.ts";
import { StatusError, TransportError } from "../../transport/http-client.ts";
import { fetchSecrets } from "./model-secrets.ts";

const manifest = ManifestSchema.parse({ owner: "acme", name: "gated", version: "1".repeat(64) });
type Answer = Record<string, string> | Error;

function edge(...answers: Answer[]) {
  const asked: string[] = [];
  const json = async ({ path }: { path: string }): Promise<unknown> => {
    asked.push(path);
    const answer = answers.shift() ?? {};
    if (answer instanceof Error) throw answer;
    return { secrets: answer };
  };
  return { asked, http: { json } as unknown as Parameters<typeof fetchSecrets>[0] };
}

test("a model that names none asks for nothing", async () => {
  const { asked, http } = edge();
  expect([await fetchSecrets(http, manifest, []), asked]).toEqual([{}, []]);
});

test("the named ones are asked for by version, and come alone", async () => {
  const { asked, http } = edge({ HF_TOKEN: "a", OTHER: "b", UNASKED: "c" });
  expect(await fetchSecrets(http, manifest, ["HF_TOKEN", "OTHER"])).toEqual({ HF_TOKEN: "a", OTHER: "b" });
  const version = `/pool/v1/models/acme/gated/versions/${manifest.version}`;
  expect(asked).toEqual([`${version}/secrets?names=HF_TOKEN,OTHER`]);
});

test("one that isn't set refuses the start with what to do", async () => {
  const { http } = edge({ OTHER: "b" });
  const refused = fetchSecrets(http, manifest, ["HF_TOKEN", "OTHER"]);
  await expect(refused).rejects.toThrow(
    "its secrets are missing: HF_TOKEN. Its owner sets one with PUT /v1/models/acme/gated/secrets/HF_TOKEN",
  );
});

test("an edge that is away is asked again, one that refuses is not", async () => {
  const away = edge(new TransportError("away"), new StatusError(503, "/", ""), { HF_TOKEN: "a" });
  expect(await fetchSecrets(away.http, manifest, ["HF_TOKEN"])).toEqual({ HF_TOKEN: "a" });
  const refuses = edge(new StatusError(404, "/", ""));
  await expect(fetchSecrets(refuses.http, manifest, ["HF_TOKEN"])).rejects.toThrow("the model's owner and lane");
  expect(refuses.asked).toHaveLength(1);
});
