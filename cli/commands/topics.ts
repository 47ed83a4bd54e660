/** `edgeplane topics`: the log over HTTP, as its user sees it: topics, partitions, offsets, and how far groups are. */
import type { Command } from "commander";
import { parseOptions } from "../context.ts";
import type { Context } from "../context.ts";
import * as z from "zod";
import { resolveKafka } from "../config.ts";
import { CliError, exitCodes } from "../errors.ts";
import { createKafkaLog, placeKey } from "../kafka.ts";
import type { KafkaLog } from "../kafka.ts";
import { note, printJson, printTable } from "../output.ts";

const DescribeOptionsSchema = z.object({ group: z.array(z.string()).default([]) });

type GroupState = { group: string; committed: number | null; lag: number; instance: string | null };
type PartitionState = { partition: number; earliest: number; next: number; groups: GroupState[] };

export function addTopics(program: Command, context: Context): void {
  const open = (): KafkaLog => createKafkaLog(resolveKafka(context.io, context.connection()));
  const topics = program.command("topics").description("topics of the log, and how far their readers are");
  topics
    .command("list", { isDefault: true })
    .description("those that the user of the log may see")
    .action(async () => list(context, open()));
  topics
    .command("describe <topic>")
    .description("its partitions and offsets, and the lag of each group that reads it")
    .option("--group <name...>", "also of these groups, none of whose instances is there now")
    .action(async (topic: string, options: unknown) => {
      const { group } = parseOptions(DescribeOptionsSchema, options);
      const found = await describe(open(), topic, group);
      if (context.globals().json) return printJson(context.io, { topic, partitions: found });
      const rows = found.flatMap(({ partition, earliest, next, groups }) => {
        const of = [partition, earliest, next];
        if (groups.length === 0) return [[...of, null, null, null, null]];
        return groups.map((one) => [...of, one.group, one.committed, one.lag, one.instance]);
      });
      return printTable(context.io, ["partition", "earliest", "next", "group", "committed", "lag", "instance"], rows);
    });
}

async function list(context: Context, log: KafkaLog): Promise<void> {
  const found = Object.entries(await log.topics()).toSorted(([one], [other]) => (one < other ? -1 : 1));
  const groups = await log.groups();
  const rows = found.map(([topic, partitions]) => {
    const readers = groups.filter(({ instances }) =>
      instances.some((one) => one.topics.some((of) => of.topic === topic)),
    );
    return { topic, partitions, groups: readers.map(({ name }) => name) };
  });
  if (context.globals().json) return printJson(context.io, rows);
  printTable(
    context.io,
    ["topic", "partitions", "groups"],
    rows.map((row) => [row.topic, row.partitions, row.groups.join(", ")]),
  );
  note(context.io, "Topics of jobs on the embedded log are served by their lanes: `edgeplane pools` shows their room.");
}

async function describe(log: KafkaLog, topic: string, asked: readonly string[]): Promise<PartitionState[]> {
  const count = (await log.topics())[topic];
  if (count === undefined)
    throw new CliError(
      `${log.url} shows no topic ${topic}`,
      exitCodes.notFound,
      "`edgeplane topics list` has those that its user may see. Topics of jobs on the embedded log are not among them.",
    );
  const partitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }));
  const groups = (await log.groups()).filter(({ instances }) =>
    instances.some(({ topics }) => topics.some((of) => of.topic === topic)),
  );
  const names = [...new Set([...groups.map(({ name }) => name), ...asked])];
  const [earliest, latest, ...committed] = await Promise.all([
    log.offsets("earliest", partitions),
    log.offsets("latest", partitions),
    ...names.map((name) => log.committed(name, partitions)),
  ]);
  const ownerOf = (name: string, partition: number): string | null =>
    groups
      .find((group) => group.name === name)
      ?.instances.find(({ topics }) => topics.some((of) => of.topic === topic && of.partitions.includes(partition)))
      ?.name ?? null;
  return partitions.map((place) => {
    const key = placeKey(place);
    const next = latest.get(key) ?? 0;
    const first = earliest.get(key) ?? 0;
    return {
      partition: place.partition,
      earliest: first,
      next,
      groups: names.map((group, index) => {
        const offset = committed[index]?.get(key) ?? -1;
        // Who has committed nothing has everything before it, or nothing: that is its own setting.
        const from = offset < 0 ? first : Math.max(offset, first);
        const isKnown = offset >= 0;
        return {
          group,
          committed: isKnown ? offset : null,
          lag: Math.max(0, next - from),
          instance: ownerOf(group, place.partition),
        };
      }),
    };
  });
}
