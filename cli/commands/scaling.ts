/** `edgeplane scaling`: which machines are wanted, which there are, and why. */
import type { Command } from "commander";
import * as z from "zod";
import type { Context } from "../context.ts";
import { note, printJson, printLine, printTable } from "../output.ts";

const Words = z.string().nullish();
const ScalingSchema = z.looseObject({
  is_on: z.boolean(),
  currency: z.string(),
  spent: z.string(),
  classes: z.array(
    z.looseObject({
      hardware: z.string(),
      wanted: z.number(),
      there: z.number(),
      starting: z.number(),
      draining: z.number(),
      spent: z.string(),
      why: z.string(),
    }),
  ),
  models: z.array(
    z.looseObject({
      model: z.string(),
      hardware: Words,
      wanted: z.number(),
      waiting: z.number(),
      running: z.number(),
      why: z.string(),
    }),
  ),
  machines: z.array(
    z.looseObject({
      id: z.string(),
      hardware: z.string(),
      provider: z.string(),
      state: z.string(),
      age_s: z.number(),
      cost: z.string(),
      why: z.string(),
    }),
  ),
  providers: z.array(
    z.looseObject({
      name: z.string(),
      kind: z.string(),
      is_here: z.boolean(),
      offers: z.number(),
      balance: Words,
      problem: Words,
    }),
  ),
});

export function addScaling(program: Command, context: Context): void {
  const scaling = program
    .command("scaling")
    .description("which machines are wanted, which there are, what they cost, and why (the operator's key)")
    .action(async () => {
      const state = await context.client().admin(ScalingSchema, "GET", "/scaling");
      const { io } = context;
      if (context.globals().json) return printJson(io, state);
      if (!state.is_on) note(io, "scaling is off: no machine is rented");
      printLine(io, `spent this month: ${state.spent} ${state.currency}`);
      const classes = state.classes.map((one) => [
        ...[one.hardware, one.wanted, one.there, one.starting, one.draining, one.spent, one.why],
      ]);
      printTable(io, ["class", "wanted", "there", "starting", "draining", "spent", "why"], classes);
      const models = state.models.map((one) => [
        one.model,
        one.hardware,
        one.wanted,
        one.waiting,
        one.running,
        one.why,
      ]);
      printTable(io, ["model", "class", "wanted", "waiting", "running", "why"], models);
      const machines = state.machines.map((one) => [
        ...[one.id, one.hardware, one.provider, one.state, `${one.age_s} s`, one.cost, one.why],
      ]);
      printTable(io, ["machine", "class", "provider", "state", "age", "cost", "why"], machines);
      const providers = state.providers.map((one) => [
        ...[one.name, one.kind, one.is_here ? "here" : "away", one.offers, one.balance, one.problem],
      ]);
      return printTable(io, ["provider", "kind", "state", "offers", "balance", "problem"], providers);
    });

  scaling
    .command("forget")
    .argument("<machine>", "its id")
    .description("forget a machine whose provider service was taken away for good (the operator's key)")
    .action(async (machine: string) => {
      await context.client().admin(z.unknown(), "DELETE", `/scaling/machines/${encodeURIComponent(machine)}`);
      note(context.io, `${machine} costs nothing from now on; nothing was returned at its provider`);
    });
}
