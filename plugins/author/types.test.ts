/** What authors of plugins are told that hooks get is what hooks get. */
import { expectTypeOf, test } from "vitest";
import type * as author from "./index.d.ts";
import type * as kernel from "../kernel/phases.ts";
import type { ShownCall, ShownPart } from "../../src/sandbox/pushed/verdict.ts";

test("the types for authors are the kernel's", () => {
  expectTypeOf<kernel.PredictionCall>().toExtend<author.PredictionCall>();
  expectTypeOf<kernel.OutputPart>().toExtend<author.OutputPart>();
  expectTypeOf<kernel.Ending>().toExtend<author.Ending>();
  expectTypeOf<kernel.Principal>().toExtend<author.Principal>();
  // Headers travel as data, so that they differ in form alone.
  expectTypeOf<Omit<kernel.Call, "headers">>().toExtend<Omit<author.Call, "headers">>();
  expectTypeOf<keyof kernel.Call>().toEqualTypeOf<keyof author.Call>();
  expectTypeOf<keyof kernel.PredictionCall>().toEqualTypeOf<keyof author.PredictionCall>();
  expectTypeOf<keyof kernel.OutputPart>().toEqualTypeOf<keyof author.OutputPart>();
  expectTypeOf<keyof kernel.Ending>().toEqualTypeOf<keyof author.Ending>();
  expectTypeOf<ShownCall>().toEqualTypeOf<keyof author.ModelCall>();
  expectTypeOf<ShownPart>().toEqualTypeOf<keyof author.ModelOutputPart>();
});
