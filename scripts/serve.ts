/** `npm run serve`: the edge as a service of one's own machine; `npm run serve -- --help` lists its settings. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { refuseArguments } from "./lib/refuse-arguments.ts";
import { startServedEdge } from "./lib/served-edge.ts";
import type { ServedEdge } from "./lib/served-edge.ts";
import { plainMessage, StackError } from "./lib/stack-error.ts";
import { OriginsSchema } from "./lib/start-settings.ts";

const HELP = `npm run serve: the edge as a service of your own machine, behind a proxy that ends TLS (docs/self-host.md).

  PUBLIC_ORIGIN        where clients reach it, such as https://edge.example.com (needed)
  PORT                 the port that it listens on (8787)
  EDGEPLANE_HOST       the address that it listens on (127.0.0.1); 0.0.0.0 in a container
  EDGEPLANE_STATE_DIR  where state lies (.edgeplane)
  EDGEPLANE_VARS       a JSON file with variables of the Worker over those of wrangler.toml (none):
                       {"QUOTA_KEYS": "100"}
  EDGEPLANE_OPERATOR_ORIGINS  by commas, services of your own that the edge may call on any network (none)

SIGTERM stops it; state is kept. The operator's key is \`adminKey\` of secrets.json in the state folder.
Exit codes: 0 stopped, 1 it can't start.`;

/** What belongs to the local stack's tests, or is made from the settings above. */
const OWN_VARS = ["EDGEPLANE_SECRET", "ADMIN_KEY", "PUBLIC_ORIGIN", "LOCAL_HOSTS", "LOCAL_FAULTS", "SHARD_COUNT"];

const SettingsSchema = z.object({
  PUBLIC_ORIGIN: z
    .string("needed: where clients reach it, such as https://edge.example.com")
    .regex(/^https?:\/\/[a-z0-9.-]+(?::\d+)?$/, "an origin such as https://edge.example.com, without a path"),
  PORT: z.coerce.number("a number from 0 to 65535").int().min(0).max(65_535).default(8787),
  EDGEPLANE_HOST: z.union([z.ipv4(), z.ipv6()], "an address of this machine").default("127.0.0.1"),
  EDGEPLANE_STATE_DIR: z.string().default(".edgeplane"),
  EDGEPLANE_VARS: z.string().optional(),
  EDGEPLANE_OPERATOR_ORIGINS: OriginsSchema,
});
const ValueSchema = z.union([z.string(), z.number(), z.boolean()], "a text, a number, true or false").transform(String);
const VarsSchema = z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), ValueSchema);

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  console.log(HELP);
  process.exit(0);
}

let starting: Promise<ServedEdge> | null = null;
let stopping = false;

async function stop(signal: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  console.log(`edgeplane: ${signal}, stopping`);
  // What begins to come up is up before it can be taken down.
  const edge = await starting?.catch(() => null);
  await edge?.stop();
  process.exit(0);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void stop(signal));

try {
  refuseArguments("npm run serve --");
  const settings = readSettings();
  starting = startServedEdge({
    host: settings.EDGEPLANE_HOST,
    port: settings.PORT,
    stateDir: settings.EDGEPLANE_STATE_DIR,
    publicOrigin: settings.PUBLIC_ORIGIN,
    vars: readVars(settings.EDGEPLANE_VARS),
    operatorOrigins: settings.EDGEPLANE_OPERATOR_ORIGINS,
    say: (line) => console.log(line),
  });
  const edge = await starting;
  console.log(`edgeplane: serves ${settings.PUBLIC_ORIGIN} on ${settings.EDGEPLANE_HOST}:${edge.port}`);
  console.log(`edgeplane: the operator's key is adminKey of ${join(settings.EDGEPLANE_STATE_DIR, "secrets.json")}`);
} catch (error) {
  console.error(`edgeplane: ${plainMessage(error)}`);
  process.exit(1);
}

function readSettings(): z.output<typeof SettingsSchema> {
  const given = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ""));
  const parsed = SettingsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new StackError(`${String(issue?.path[0])} is wrong: ${issue?.message} (npm run serve -- --help tells more).`);
}

function readVars(file: string | undefined): Record<string, string> {
  if (file === undefined) return {};
  let vars: Record<string, string>;
  try {
    vars = VarsSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : plainMessage(error);
    throw new StackError(`EDGEPLANE_VARS: ${file} is no JSON object of variables: ${why}`);
  }
  const own = OWN_VARS.filter((name) => name in vars);
  if (own.length > 0) throw new StackError(`EDGEPLANE_VARS: ${own.join(", ")} can't be set there.`);
  return vars;
}
