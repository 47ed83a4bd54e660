/**
 * `model-guard`: a model of the operator's own pools decides on inputs and outputs, texts and pictures, so that
 * moderation runs on the same GPUs. Each text is a prediction of the guard's model, in a lane of its own; its pool
 * makes batches of those of concurrent requests. What the guard is asked, no plugin screens: it can't guard itself.
 */
import type { Json, ModelRef } from "../../src/contract/prediction.ts";
import { modelPath } from "../../src/contract/manifest.ts";
import { definePlugin } from "../kernel/define-plugin.ts";
import { judgedOf, verdictOf } from "../kernel/opinions.ts";
import type { Judged } from "../kernel/opinions.ts";
import { judge, proceed } from "../kernel/phases.ts";
import type { OutputPart } from "../kernel/phases.ts";
import { isStreamedText, stepOf } from "../kernel/text-window.ts";
import { checkGuards } from "./check.ts";
import { ConfigSchema, MAX_TIMEOUT_MS } from "./config.ts";
import { contentsOf, isUrl, pictureFields, questionsOf } from "./contents.ts";
import type { Contents } from "./contents.ts";
import { createJudge } from "./judge.ts";
import type { Guarded } from "./judge.ts";

const NAME = "model-guard";
/** Of an output's pictures as data URIs: about 16 MiB of files. */
const MAX_PICTURES_CHARS = 22 * 1024 * 1024;

/** Too much for the guard, or a kind that it isn't let judge: refused as it is. */
type Refused = { refused: string };

export const modelGuard = definePlugin({
  name: NAME,
  apiVersion: 1,
  phases: ["screenInput", "screenOutput"],
  needs: ["models", "accounts"],
  timeoutMs: MAX_TIMEOUT_MS + 5000,
  config: ConfigSchema,
  example: { model: "local/profanity-guard" },
  check: checkGuards,
  setup({ config, services }) {
    const guard = createJudge(NAME, config, services);
    const takesUrl = pictureFields(config);
    const { textField, imageField } = config;
    const window = { windowCharacters: config.windowCharacters, overlapCharacters: config.overlapCharacters };

    async function judged(
      subject: ModelRef,
      contents: Contents,
      guarded: () => Promise<Guarded>,
    ): Promise<Judged | Refused> {
      const texts = textField === null ? [] : questionsOf(contents.texts, config);
      const pictures = imageField === null ? [] : contents.pictures;
      if (texts === null || pictures.length > config.maxQuestions)
        return { refused: "has more than the guard may judge" };
      if (config.imageUrls === "refuse" && pictures.some(isUrl))
        return { refused: "has a picture by URL: send it as a data URI" };
      if (texts.length + pictures.length === 0) return { findings: [], isRefused: false };
      const model = await guard.model();
      if (modelPath(model.ref) === modelPath(subject)) return { findings: [], isRefused: false };
      const inputs = [
        ...texts.map((text) => ({ [textField ?? ""]: text })),
        ...pictures.map((picture) => ({ [imageField ?? ""]: picture })),
      ];
      const opinions = await guard.opinions(model, inputs, await guarded());
      return judgedOf(opinions, config.allowedCategories, modelPath(model.ref));
    }

    async function ofAccount(accountId: string): Promise<Guarded> {
      const account = await services.accounts.find(accountId);
      return { accountId, weight: account?.weight ?? 1 };
    }

    /** What a piece of output has; its own files are pictures if they are some. */
    async function contentsOfOutput({ predictionId, output }: OutputPart): Promise<Contents> {
      const contents = contentsOf(output, false, () => true);
      const links = contents.pictures.filter(isUrl);
      const shown = imageField === null ? links.map(() => null) : await picturesOf(predictionId, links);
      return {
        texts: [...contents.texts, ...links.filter((_link, index) => shown[index] === null)],
        pictures: [...contents.pictures.filter((one) => !isUrl(one)), ...shown.filter((one) => one !== null)],
      };
    }

    /** One after the other: together they have to fit into the isolate. Throws where they don't. */
    async function picturesOf(id: string, links: readonly string[]): Promise<(string | null)[]> {
      const pictures: (string | null)[] = [];
      let chars = 0;
      for (const link of links) {
        const picture = await services.models.picture(id, link);
        chars += picture?.length ?? 0;
        if (chars > MAX_PICTURES_CHARS)
          throw new Error("the pictures of the output are too large to be judged together");
        pictures.push(picture);
      }
      return pictures;
    }

    return {
      screenInput: judge(async ({ input, model, principal }) => {
        if (config.on === "output") return proceed;
        const { accountId, weight } = principal;
        const guarded = () => Promise.resolve({ accountId, weight });
        return decided(await judged(model, contentsOf(input, true, takesUrl), guarded), "input", {});
      }),

      async screenOutput(part) {
        if (config.on === "input" || (part.of !== "output" && !config.logs)) return proceed;
        const guarded = () => ofAccount(part.accountId);
        if (!isStreamedText(part))
          return decided(await judged(part.model, await contentsOfOutput(part), guarded), whatOf[part.of], {});
        const step = stepOf(part, window);
        const output = part.part === "end" && step.output === "" ? null : step.output;
        const change = { subject: { ...part, output }, held: step.held };
        // A chunk may link to a picture: nobody has the link before that was judged.
        const { pictures } = await contentsOfOutput(part);
        if (step.judge === null && pictures.length === 0) return { verdict: "continue", ...change };
        const contents = { texts: step.judge === null ? [] : [step.judge], pictures };
        return decided(await judged(part.model, contents, guarded), whatOf[part.of], change);
      },
    };
  },
});

const whatOf: Readonly<Record<OutputPart["of"], string>> = {
  output: "output",
  logs: "log",
  error: "message of the error",
};

function decided<Subject extends { output?: Json }>(
  judged: Judged | Refused,
  what: string,
  change: { subject?: Subject; held?: string | null },
) {
  if ("refused" in judged)
    return { verdict: "reject", code: "rejected_by_policy", message: `The ${what} ${judged.refused}.` } as const;
  return verdictOf(judged, `A guard model refused the ${what}.`, change);
}
