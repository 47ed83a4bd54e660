/**
 * `npm run topics`: lists and creates Edgeplane's topics in a Kafka cluster; `npm run topics -- --help` lists its
 * settings.
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import * as z from "zod";
import { Cluster } from "../gpu-pool/bridge/kafka/cluster.ts";
import { ClusterSettingsSchema, loadSettings } from "../gpu-pool/bridge/settings.ts";
import type { ClusterSettings } from "../gpu-pool/bridge/settings.ts";
import { jobTopic, LaneNameSchema } from "../src/contract/job.ts";
import { priorities } from "../src/contract/prediction.ts";
import { AUDIT_TOPIC, publishedTopics } from "../src/contract/published.ts";

const HELP = `Lists and creates Edgeplane's topics in a Kafka cluster.

  npm run topics -- list
  npm run topics -- create [--lanes default,fast] [--published results,usage,jobs.dlq]
                           [--partitions 8] [--replicas 3] [--retention-ms 604800000]

Which cluster:
  --settings file        the bridge's settings (default: BRIDGE_SETTINGS and the BRIDGE_KAFKA_… variables; docs/bridge.md)
  --kafka-settings file  a pool's: {"brokers": ["host:9092"], "tls", "sasl"}

create:
  --lanes          lanes to make jobs.<lane>.high, .normal and .low for, by commas (default: default)
  --published      topics of PUBLISH_TOPICS to make, and audit, by commas (default: none)
  --partitions     of each topic: as many pools can read a lane at once (default 8)
  --replicas       -1: the cluster's default (default -1)
  --retention-ms   (default: the cluster's)

A topic that is there stays as it is. Exit codes: 0 done, 1 the cluster refused or can't be reached, 2 a setting is wrong.`;

const otherTopics = [...publishedTopics, AUDIT_TOPIC] as const;
const PublishedSchema = z.enum(otherTopics, { error: `one of ${otherTopics.join(", ")}` });
const listOf = <T extends z.ZodType<unknown, string>>(schema: T) =>
  z
    .string()
    .transform((text) =>
      text
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== ""),
    )
    .pipe(z.array(schema));
const OptionsSchema = z.object({
  lanes: listOf(LaneNameSchema).default(["default"]),
  published: listOf(PublishedSchema).default([]),
  partitions: z.coerce.number().int().min(1).max(10_000).default(8),
  replicas: z.coerce.number().int().min(-1).max(100).default(-1),
  "retention-ms": z.coerce.number().int().min(-1).optional(),
});

class UsageError extends Error {}

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  try {
    const { values, positionals } = readArguments(args);
    const [verb = ""] = positionals;
    if (values.help === true) {
      console.log(HELP);
      return 0;
    }
    if (positionals.length !== 1 || (verb !== "list" && verb !== "create")) throw new UsageError("say list or create");
    const options = parseOptions(values);
    const found = await clusterSettings(values.settings, values["kafka-settings"]);
    const retentionMs = options["retention-ms"];
    const { partitions, replicas } = options;
    const topics = { create: true, partitions, replicas, ...(retentionMs === undefined ? {} : { retentionMs }) };
    const cluster = new Cluster({ ...found, topics });
    try {
      if (verb === "list") await list(cluster);
      else await create(cluster, options);
      return 0;
    } finally {
      await cluster.close();
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.error(`topics: ${message}${error instanceof UsageError ? " (--help tells more)" : ""}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function list(cluster: Cluster): Promise<void> {
  const topics = [...(await cluster.topics())].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const ours = topics.filter(([name]) => name.startsWith("jobs.") || otherTopics.some((topic) => topic === name));
  if (ours.length === 0) console.log("The cluster has no topic of Edgeplane yet: npm run topics -- create");
  for (const [name, partitions] of ours) console.log(`${name}\t${partitions} partitions`);
  warnOfUnequal(new Map(ours));
}

async function create(cluster: Cluster, options: z.output<typeof OptionsSchema>): Promise<void> {
  const before = await cluster.topics();
  const jobs = options.lanes.flatMap((lane) => priorities.map((priority) => jobTopic(lane, priority)));
  const wanted = [...jobs, ...options.published];
  for (const topic of wanted) {
    const known = before.get(topic);
    if (known === undefined) await cluster.createTopic(topic);
    console.log(
      known === undefined
        ? `${topic}\tcreated, ${options.partitions} partitions`
        : `${topic}\tthere already, ${known} partitions`,
    );
  }
  warnOfUnequal(new Map(wanted.map((topic) => [topic, before.get(topic) ?? options.partitions])));
}

/**
 * A lane's three topics are assigned by range: with unequal counts a pool's share of one isn't its share of the others.
 */
function warnOfUnequal(topics: ReadonlyMap<string, number>): void {
  const lanes = Map.groupBy(
    [...topics].filter(([name]) => priorities.some((priority) => name.endsWith(`.${priority}`))),
    ([name]) => name.slice(0, name.lastIndexOf(".")),
  );
  for (const [lane, own] of lanes) {
    if (new Set(own.map(([, count]) => count)).size > 1)
      console.warn(`warning: the topics of ${lane} have unequal numbers of partitions; make them equal.`);
  }
}

function readArguments(args: string[]) {
  try {
    const option = { type: "string" } as const;
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...{ settings: option, "kafka-settings": option, lanes: option, published: option, partitions: option },
        ...{ replicas: option, "retention-ms": option, help: { type: "boolean", short: "h" } },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function parseOptions(values: unknown): z.output<typeof OptionsSchema> {
  const parsed = OptionsSchema.safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`--${String(issue?.path[0])} is wrong: ${issue?.message}`);
}

async function clusterSettings(bridgeFile: string | undefined, poolFile: string | undefined): Promise<ClusterSettings> {
  if (poolFile === undefined) {
    const { kafka } = await loadSettings(bridgeFile ?? process.env["BRIDGE_SETTINGS"], process.env).catch(
      (error: unknown) => {
        throw new UsageError(error instanceof Error ? error.message : String(error));
      },
    );
    if (kafka === undefined) throw new UsageError("the bridge's settings have no kafka");
    return kafka;
  }
  try {
    return ClusterSettingsSchema.parse(JSON.parse(await readFile(poolFile, "utf8")));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new UsageError(`--kafka-settings ${poolFile}: ${why}`);
  }
}
