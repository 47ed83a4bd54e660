/** `edgeplane environments`: what pools have built and stored for others of the same owner. */
import type { Command } from "commander";
import * as z from "zod";
import { parseOptions, segment } from "../context.ts";
import type { Context } from "../context.ts";
import { ago, bytesText, note, printJson, printTable } from "../output.ts";
import { list } from "./admin.ts";

const EnvironmentSchema = z.looseObject({
  owner: z.string(),
  key: z.string(),
  python: z.string(),
  platform: z.string(),
  libc: z.string(),
  cuda: z.string().nullish(),
  bytes: z.number(),
  build_s: z.number(),
  used_at: z.string(),
});
const HEAD = ["owner", "key", "python", "platform", "libc", "CUDA", "bytes", "built in", "used"] as const;
const ListOptionsSchema = z.object({ owner: z.string().optional() });

export function addEnvironments(program: Command, context: Context): void {
  const environments = program
    .command("environments")
    .description("what pools have built and stored for others of the same owner (the operator's key)");
  environments
    .command("list", { isDefault: true })
    .description("all of them")
    .option("--owner <name>", "one owner's")
    .action(async (options: unknown) => {
      const { owner } = parseOptions(ListOptionsSchema, options);
      const found = await list(context, EnvironmentSchema, "/environments", { owner });
      if (context.globals().json) return printJson(context.io, found);
      const rows = found.map((one) => [
        ...[one.owner, one.key.slice(0, 12), one.python, one.platform, one.libc, one.cuda ?? null],
        ...[bytesText(one.bytes), `${Math.round(one.build_s)} s`, ago(one.used_at)],
      ]);
      return printTable(context.io, HEAD, rows);
    });
  environments
    .command("delete <owner> <key>")
    .description("the next pool that needs it builds it anew; --json of the list has whole keys")
    .action(async (owner: string, key: string) => {
      await context.client().admin(z.unknown(), "DELETE", `/environments/${segment(owner)}/${segment(key)}`);
      note(context.io, `${owner}/${key.slice(0, 12)} is deleted`);
    });
}
