/**
 * The bridge's process: Kafka and Redis over HTTP, to be run beside one's own clusters.
 * starting (settings checked) → serving → draining (SIGTERM, SIGINT: instances leave their groups) → exit 0.
 */
import { parseArgs } from "node:util";
import { pino } from "pino";
import { onSignals } from "../signals.ts";
import { logDestination } from "../telemetry/log-destination.ts";
import { shownError } from "./http.ts";
import { startBridge } from "./server.ts";
import { loadSettings, SettingsError, variables } from "./settings.ts";

const HELP = `Serves a Kafka cluster and a Redis over HTTP, in the dialects of @upstash/kafka and @upstash/redis.

  npm run bridge -- [--settings file.json] [--check]

--settings  a JSON file (or BRIDGE_SETTINGS); docs/bridge.md lists all settings
--check     connect to the clusters, say what is wrong, and exit

Environment variables override the file:
${variables.map(({ name, help }) => `  ${name.padEnd(34)} ${help}`).join("\n")}

It serves /kafka and /redis (as far as they are set up), /healthz and /metrics (Prometheus). SIGTERM drains it.
Exit codes: 0 drained, or --check found all well; 1 it could not start, --check found a fault, or a second signal ended it; 2 a setting is wrong.`;

const EXIT_WRONG = 2;

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const values = readFlags();
    if (values.help) {
      console.log(HELP);
      return 0;
    }
    const settings = await loadSettings(values.settings ?? process.env["BRIDGE_SETTINGS"], process.env);
    const log = pino({ level: settings.logLevel, name: "bridge" }, logDestination());
    const bridge = await startBridge(values.check ? { ...settings, port: 0, host: "127.0.0.1" } : settings, log);
    const doors = [
      ["kafka", bridge.kafka === null ? null : async () => bridge.kafka?.cluster.probe()],
      ["redis", bridge.redis === null ? null : async () => bridge.redis?.probe()],
    ] as const;
    let failed = false;
    for (const [name, probe] of doors) {
      if (probe === null) continue;
      await probe().then(
        () => log.info({ door: name }, `${name} answers`),
        (error: unknown) => {
          failed = true;
          log.error({ door: name }, shownError(error).message);
        },
      );
    }
    if (values.check) {
      await bridge.close();
      return failed ? 1 : 0;
    }
    log.info({ url: bridge.url }, "bridge is listening");
    const signal = await new Promise<string>((resolve) => onSignals(resolve, () => process.exit(1)));
    log.info({ signal }, "draining");
    await bridge.close();
    log.info("closed");
    return 0;
  } catch (error) {
    if (error instanceof SettingsError) console.error(error.message);
    else console.error(`The bridge could not start: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof SettingsError ? EXIT_WRONG : 1;
  }
}

function readFlags() {
  try {
    const { values } = parseArgs({
      options: {
        settings: { type: "string" },
        check: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    return values;
  } catch (error) {
    throw new SettingsError(`bridge: ${error instanceof Error ? error.message : String(error)} (--help tells more)`);
  }
}
