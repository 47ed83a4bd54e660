/** The key `weights` of `edgeplane`: files that lie elsewhere, each with what it must be. */
import * as z from "zod";
import { pathProblem } from "../../../src/contract/bundle.ts";

export const MAX_WEIGHTS = 64;

const HTTPS = /^(https:\/\/[^#\s]+)#sha256=([0-9a-f]{64})$/;
const HUGGING_FACE = /^hf:\/\/([\w.-]+\/[\w.-]+)\/([^@\s]+)@([0-9a-f]{40})$/;

/** `https`: any server's file, by its SHA-256. `hf`: a file of a repository at Hugging Face, by its commit. */
export type WeightSource =
  | { kind: "https"; url: string; sha256: string }
  | { kind: "hf"; repository: string; file: string; commit: string };

const FromSchema = z.string().transform((text, context): WeightSource => {
  const [, url, sha256] = HTTPS.exec(text) ?? [];
  if (url !== undefined && sha256 !== undefined && URL.canParse(url)) return { kind: "https", url, sha256 };
  const [, repository, file, commit] = HUGGING_FACE.exec(text) ?? [];
  if (repository !== undefined && file !== undefined && commit !== undefined && pathProblem(file) === null)
    return { kind: "hf", repository, file, commit };
  context.issues.push({
    code: "custom",
    input: text,
    message:
      "must be https://…#sha256=<64 hexadecimal digits>, or hf://owner/repository/file@<commit, 40 hexadecimal digits>: a branch moves, and a version doesn't",
  });
  return z.NEVER;
});

export const WeightSchema = z.strictObject({
  /** Where it lies in the model's folder. */
  path: z.string().superRefine((path, context) => {
    const problem = pathProblem(path);
    if (problem !== null) context.addIssue({ code: "custom", message: `${JSON.stringify(path)} ${problem}` });
  }),
  from: FromSchema,
});
export type Weight = z.output<typeof WeightSchema>;
