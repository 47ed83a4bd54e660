import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { tryLock } from "../runtime/host-lock.ts";
import { fetchSecrets } from "../runtime/models/model-secrets.ts";
import { ManifestSchema } from "../../src/contract/manifest.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import { isNoFault } from "./problems.ts";

const manifest = ManifestSchema.parse({ owner: "ada", name: "m", version: "0".repeat(64) });

/** What is made of an edge that answers so when it is asked for a secret. */
async function problemOf(error: Error): Promise<unknown> {
  const http = { json: () => Promise.reject(error) };
  return fetchSecrets(http, manifest, ["HF_TOKEN"]).catch((problem: unknown) => problem);
}

test("an edge that is away when a secret is asked for is no fault of the model; one that refuses it is", async () => {
  const away = [new TransportError("closed"), new StatusError(503, "/secrets", "")].map(problemOf);
  expect((await Promise.all(away)).map(isNoFault)).toEqual([true, true]);
  expect(isNoFault(await problemOf(new StatusError(404, "/secrets", "")))).toBe(false);
});

test("a lock that this host can't make is no fault of the model", () => {
  let problem: unknown;
  try {
    tryLock(tmpdir(), "exclusive");
  } catch (error) {
    problem = error;
  }
  expect(problem).toMatchObject({ message: "unable to open database file" });
  expect(isNoFault(problem)).toBe(true);
});
