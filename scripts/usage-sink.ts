/** `npm run usage-sink`: carries usage events from the topic `usage` to OpenMeter or Stripe (docs/usage.md). */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import * as z from "zod";
import { createTopicReader } from "./lib/usage-sink/reader.ts";
import { createSink, MisconfiguredError } from "./lib/usage-sink/sink.ts";
import { openMeter, stripe } from "./lib/usage-sink/targets.ts";
import type { Target } from "./lib/usage-sink/targets.ts";

const HELP = `npm run usage-sink: carries usage events from the topic "usage" to a billing system, at least once (docs/usage.md).

  npm run usage-sink -- --to openmeter --url https://openmeter.example.com
  npm run usage-sink -- --to stripe --meter edgeplane_cost=costNano --customers customers.json

  --to            openmeter or stripe
  --url           its address (Stripe's, unless said otherwise)
  --meter         Stripe: <event_name>=<costNano, gpuUs, runMs or the name of a unit>
  --customers     Stripe: a JSON file, {"<account>": "cus_…"}
  --state         the file that says how far it is (usage-sink.<to>.json)
  --dead-letters  the file for what can't be sent (usage-sink.<to>.dead.ndjson)
  --topic         (usage)
  --once          end when there is nothing to read

  KAFKA_URL, KAFKA_USERNAME, KAFKA_PASSWORD  the log, such as https://edge.example.com/kafka
  OPENMETER_TOKEN, STRIPE_KEY                the target's key

Exit codes: 0 done, 1 it failed, 2 wrong use.`;

const EnvSchema = z.object({
  KAFKA_URL: z.url(),
  KAFKA_USERNAME: z.string().min(1),
  KAFKA_PASSWORD: z.string().min(1),
  OPENMETER_TOKEN: z.string().min(1).optional(),
  STRIPE_KEY: z.string().min(1).optional(),
});
type SinkEnv = z.output<typeof EnvSchema>;

/** Between two tries to read while the log is away. */
const AWAY_MS = 5000;

class WrongUseError extends Error {}

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  try {
    const values = readArguments(args);
    if (values.help === true) {
      console.log(HELP);
      return 0;
    }
    const env = EnvSchema.safeParse(process.env);
    if (!env.success) throw new WrongUseError(z.prettifyError(env.error));
    const { to = "", topic = "usage" } = values;
    const { KAFKA_URL: url, KAFKA_USERNAME: username, KAFKA_PASSWORD: password } = env.data;
    const sink = createSink({
      reader: createTopicReader({ url, username, password }, topic),
      target: targetOf(values, env.data),
      topic,
      statePath: values.state ?? `usage-sink.${to}.json`,
      deadLetterPath: values["dead-letters"] ?? `usage-sink.${to}.dead.ndjson`,
      say: (line) => console.error(`usage-sink: ${line}`),
    });
    await run(sink, values.once === true);
    return 0;
  } catch (error) {
    console.error(`usage-sink: ${error instanceof Error ? error.message : String(error)}`);
    if (!(error instanceof WrongUseError)) return 1;
    console.error("usage-sink: --help tells more");
    return 2;
  }
}

/** Goes on until it is ended, or with `once` until nothing comes. */
async function run(sink: ReturnType<typeof createSink>, once: boolean): Promise<void> {
  for (;;) {
    try {
      const { read, sent, dead } = await sink.step();
      if (read > 0) console.log(`usage-sink: read ${read}, sent ${sent}, dead ${dead}`);
      else if (once) return;
    } catch (error) {
      if (once || error instanceof MisconfiguredError) throw error;
      console.error(`usage-sink: ${error instanceof Error ? error.message : String(error)}`);
      await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
    }
  }
}

type Values = ReturnType<typeof readArguments>;

function targetOf({ to, url, meter, customers }: Values, env: SinkEnv): Target {
  if (to === "openmeter") {
    if (url === undefined) throw new WrongUseError("--to openmeter needs --url");
    return openMeter({ url, token: env.OPENMETER_TOKEN });
  }
  if (to !== "stripe") throw new WrongUseError("--to takes openmeter or stripe");
  if (env.STRIPE_KEY === undefined) throw new WrongUseError("--to stripe needs STRIPE_KEY");
  const [event, value] = (meter ?? "").split("=");
  if (event === undefined || event === "" || value === undefined || value === "")
    throw new WrongUseError("--to stripe needs --meter <event_name>=<value>");
  if (customers === undefined) throw new WrongUseError("--to stripe needs --customers");
  return stripe({
    url: url ?? "https://api.stripe.com",
    key: env.STRIPE_KEY,
    meter: { event, value },
    customers: z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(customers, "utf8"))),
  });
}

function readArguments(args: string[]) {
  try {
    const text = { type: "string" } as const;
    return parseArgs({
      args,
      options: {
        ...{ to: text, url: text, meter: text, customers: text, state: text, topic: text, "dead-letters": text },
        ...{ once: { type: "boolean" }, help: { type: "boolean", short: "h" } },
      },
    }).values;
  } catch (error) {
    throw new WrongUseError(error instanceof Error ? error.message : String(error));
  }
}
