/** The command line of `scripts/kafka-local`. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { bootstrapServers, clusterStatus, startCluster, stopCluster } from "./cluster.ts";
import { KAFKA_VERSION } from "./jars.ts";
import { portsOf, SASL_PASSWORDS } from "./properties.ts";
import type { ClusterOptions } from "./properties.ts";

const HELP = `Runs a real Apache Kafka ${KAFKA_VERSION} (KRaft) on this machine. It needs Java 17 or later, and no Docker.

  scripts/kafka-local start  [--brokers 1|3] [--port 9092] [--dir .edgeplane/kafka] [--sasl] [--tls]
  scripts/kafka-local stop   [--broker N] [--wipe] [--dir …]
  scripts/kafka-local status [--json] [--dir …]

start   starts the brokers that don't run and returns once all are up. What they store stays in --dir.
stop    ends all brokers, or one; --wipe removes what they stored.
status  says what runs; exits with 1 unless all brokers do.

Broker N (1 to 3) listens on 127.0.0.1, on port + N - 1; its controller listens 10 above that.
  --sasl  one listener more, 20 above: SASL/PLAIN with the users
          admin (password ${SASL_PASSWORDS.admin}, may do anything) and guest (${SASL_PASSWORDS.guest}, may do nothing)
  --tls   one listener more, 30 above: TLS; its certificate is <dir>/ca.pem

The jars come from Maven Central (or the repository that MAVEN_REPOSITORY names) once, checked by SHA-256, and stay
in ~/.cache/edgeplane.`;

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      brokers: { type: "string", default: "1" },
      broker: { type: "string" },
      port: { type: "string", default: "9092" },
      dir: { type: "string", default: ".edgeplane/kafka" },
      sasl: { type: "boolean", default: false },
      tls: { type: "boolean", default: false },
      wipe: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const verb = positionals[0];
  if (values.help || verb === undefined) {
    console.log(HELP);
    return values.help ? 0 : 2;
  }
  const dir = resolve(values.dir);
  if (verb === "start") {
    const options: ClusterOptions = {
      ...{ dir, port: portNumber(values.port), brokers: brokerCount(values.brokers) },
      ...{ sasl: values.sasl, tls: values.tls },
    };
    await startCluster(options, (line) => console.error(line));
    console.log(`Apache Kafka ${KAFKA_VERSION} is up: ${bootstrapServers(options).join(",")}`);
    if (options.sasl) console.log(`SASL/PLAIN: 127.0.0.1:${portsOf(options.port, 1).sasl}`);
    if (options.tls) console.log(`TLS: localhost:${portsOf(options.port, 1).tls}, certificate ${dir}/ca.pem`);
    return 0;
  }
  if (verb === "stop") {
    const broker = values.broker === undefined ? {} : { broker: Number(values.broker) };
    const stopped = await stopCluster(dir, { wipe: values.wipe, ...broker });
    console.log(stopped === 0 ? "Nothing ran." : `Stopped ${stopped} broker(s).`);
    return 0;
  }
  if (verb === "status") {
    const status = await clusterStatus(dir);
    if (values.json) console.log(JSON.stringify(status));
    else if (status.length === 0) console.log(`No cluster in ${dir}.`);
    else
      for (const broker of status)
        console.log(`broker ${broker.id} ${broker.address} ${broker.running ? `up, pid ${broker.pid}` : "down"}`);
    return status.length > 0 && status.every((broker) => broker.running) ? 0 : 1;
  }
  throw new Error(`Unknown verb "${verb}": it is start, stop or status. --help says more.`);
}

function portNumber(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_500) return port;
  throw new Error(`--port must be a port number, not "${text}".`);
}

function brokerCount(text: string): 1 | 3 {
  if (text === "1") return 1;
  if (text === "3") return 3;
  throw new Error(`--brokers must be 1 or 3, not "${text}".`);
}
