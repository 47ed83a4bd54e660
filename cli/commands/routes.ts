/** `edgeplane routes`: which requests that name a model alone get which of its versions. */
import type { Command } from "commander";
import * as z from "zod";
import { parseModelName } from "../context.ts";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { readJsonOf } from "../inputs.ts";
import { printJson } from "../output.ts";

const RoutesSchema = z.object({ rules: z.array(z.looseObject({ version: z.string() })) });

export function addRoutes(program: Command, context: Context): void {
  const routes = program.command("routes").description("which requests get which of a model's versions");
  routes
    .command("show <model>")
    .description("the rules, in their order, as JSON")
    .action(async (model: string) => {
      printJson(context.io, (await context.client().api(RoutesSchema, "GET", pathOf(model))).rules);
    });
  routes
    .command("set <model> <json>")
    .description("put others in their place: a JSON list, @file, or - for standard input; [] takes them away")
    .action(async (model: string, json: string) => {
      const body = { rules: await readJsonOf(z.array(z.unknown()), context.io, json, "the rules") };
      printJson(context.io, (await context.client().api(RoutesSchema, "PUT", pathOf(model), { body })).rules);
    });
}

function pathOf(model: string): string {
  const { owner, name, version } = parseModelName(model);
  if (version !== null) throw new CliError("name the model alone: owner/name", exitCodes.usage);
  return `/models/${owner}/${name}/routes`;
}
