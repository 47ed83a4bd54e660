/** `edgeplane-provider`: settings, wiring, signals, exit codes (0 ended, 1 broken, 2 wrong settings or refused). */
import { join } from "node:path";
import { pino } from "pino";
import type { Logger } from "pino";
import {
  ConfigurationError,
  expectedBootOf,
  readConfiguration,
  readKey,
  refuseSharedAccounts,
  timesOf,
} from "./configuration.ts";
import type { EntryConfiguration } from "./configuration.ts";
import { edgeAt } from "./edge.ts";
import { Entry } from "./entry.ts";
import { instanceIn } from "./instance.ts";
import { nanoOf } from "./money.ts";
import { namesWith } from "./names.ts";
import type { Provider } from "./provider.ts";
import { command } from "./providers/command.ts";
import { local } from "./providers/local.ts";
import { runpod } from "./providers/runpod.ts";
import { vast } from "./providers/vast.ts";
import { Reconciler } from "./reconciler.ts";
import { helpText, readSettings, SettingsError } from "./settings.ts";
import type { Settings } from "./settings.ts";

const EXIT_WRONG = 2;

function stopWith(message: string): never {
  process.stderr.write(`edgeplane-provider: ${message}\n`);
  process.exit(EXIT_WRONG);
}

function providerOf(entry: EntryConfiguration, settings: Settings, log: Logger): Provider {
  switch (entry.kind) {
    case "local":
      return local(entry, join(settings["state-dir"], entry.name), namesWith(entry.prefix));
    case "command":
      return command(entry, (line) => log.info(line));
    case "runpod":
      return runpod(entry, readKey(entry, process.env));
    case "vast":
      return vast(entry, readKey(entry, process.env));
    default:
      return entry satisfies never;
  }
}

function run(settings: Settings): void {
  const log = pino({ level: settings["log-level"], base: null }, pino.destination({ dest: 1, sync: true }));
  const edge = edgeAt(settings.url, settings.token);
  const entries = readConfiguration(settings.config);
  refuseSharedAccounts(entries, process.env);
  const instance = instanceIn(settings["state-dir"]);
  const running = entries.map((entry) => {
    const { name, kind, prefix, lowBalance } = entry;
    const logOfEntry = log.child({ provider: name });
    const provider = providerOf(entry, settings, logOfEntry);
    const expectedBootS = expectedBootOf(entry);
    const reconciler = new Reconciler({ name, kind, names: namesWith(prefix), times: timesOf(entry), expectedBootS });
    const lowBalanceNano = lowBalance === undefined ? {} : { lowBalanceNano: nanoOf(lowBalance) };
    const told = { instance, ...lowBalanceNano, onRefused: stopWith };
    const runner = new Entry({ provider, reconciler, edge, log: logOfEntry, ...told });
    return { runner, provider };
  });
  // What this service starts inherits its environment: a local pool, and by it the models that it runs.
  for (const entry of entries) {
    if ("apiKeyEnv" in entry && entry.apiKeyEnv !== undefined) delete process.env[entry.apiKeyEnv];
  }
  for (const { runner } of running) runner.start();
  log.info({ edge: settings.url.href, providers: running.length }, "provider service started");
  let isStopping = false;
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      void Promise.all(running.map(({ runner }) => runner.stop()))
        .then(() => Promise.all(running.map(({ provider }) => provider.close?.() ?? Promise.resolve())))
        .then(() => process.exit(0));
    });
  }
}

try {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (settings === null) process.stdout.write(helpText());
  else run(settings);
} catch (error) {
  if (error instanceof SettingsError || error instanceof ConfigurationError) stopWith(error.message);
  throw error;
}
