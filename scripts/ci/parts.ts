/**
 * What is tested, part by part. `npm test` runs the parts that need nothing but what it installs itself; CI (`.ci/run`)
 * runs those first and then all others, with their engines.
 */
export type Part = {
  name: string;
  /** `test`: part of `npm test`. `ci`: needs an engine or much time. */
  runs: "test" | "ci";
  /** The engine that it needs, as the summary calls it; null for none. */
  engine: string | null;
  /** The programs that must be on the PATH, or the part can't run. */
  needs: readonly string[];
  command: readonly string[];
  /** Ends a part that hangs: about twice what it takes, with another part beside it, where a core is slow. */
  timeoutMs: number;
  /**
   * What its result is. `times`, or rates: nothing runs beside it. `amounts`, such as calls or the growth of memory:
   * only others that measure amounts run beside it.
   */
  measures?: "times" | "amounts";
};

/**
 * So many run at once, begun in their order; none has more than one core's work for long. The longest come first, so
 * that the last ones end together.
 */
export const SIDE_BY_SIDE = 2;

const MINUTE_MS = 60_000;

const vitest = (...projects: string[]) => ["vitest", "run", ...projects.map((name) => `--project=${name}`)];

/** Releases before, and what they left: a part of its own. */
const UPGRADES = "test/integration/upgrade";

export const parts: readonly Part[] = [
  {
    name: "Worker",
    runs: "test",
    engine: null,
    needs: [],
    command: vitest("worker"),
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "parts together",
    runs: "test",
    engine: null,
    needs: ["python3"],
    command: vitest("integration"),
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "units",
    runs: "test",
    engine: null,
    needs: [],
    command: vitest("node"),
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "end to end",
    runs: "test",
    engine: null,
    needs: ["python3"],
    command: vitest("e2e"),
    timeoutMs: 8 * MINUTE_MS,
  },
  {
    name: "model process",
    runs: "test",
    engine: null,
    needs: ["python3"],
    command: vitest("models"),
    timeoutMs: 8 * MINUTE_MS,
  },
  {
    name: "logs and buckets",
    runs: "test",
    engine: null,
    needs: [],
    command: vitest("conformance"),
    timeoutMs: 5 * MINUTE_MS,
  },
  {
    name: "parts together, at length",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: [...vitest("at-length"), "--exclude", `${UPGRADES}/**`],
    timeoutMs: 24 * MINUTE_MS,
  },
  {
    name: "units, at length",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: vitest("units-at-length"),
    timeoutMs: 24 * MINUTE_MS,
  },
  {
    name: "pools, at length",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: vitest("pools-at-length"),
    timeoutMs: 10 * MINUTE_MS,
  },
  {
    name: "Worker, at length",
    runs: "ci",
    engine: "time",
    needs: [],
    command: vitest("worker-at-length"),
    timeoutMs: 16 * MINUTE_MS,
  },
  {
    name: "end to end, at length",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: vitest("e2e-at-length"),
    timeoutMs: 5 * MINUTE_MS,
  },
  {
    name: "upgrades",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: [...vitest("at-length"), UPGRADES],
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "checks",
    runs: "ci",
    engine: null,
    needs: [],
    command: ["node", "scripts/check.ts"],
    timeoutMs: 6 * MINUTE_MS,
  },
  {
    name: "Python 3.8 (vermin)",
    runs: "ci",
    engine: "vermin",
    needs: ["vermin"],
    command: ["vermin", "--target=3.8-", "--violations", "--no-tips", "gpu-pool/python"],
    timeoutMs: 5 * MINUTE_MS,
  },
  {
    name: "real Kafka and Redis",
    runs: "ci",
    engine: "Apache Kafka, Redis",
    needs: ["java", "redis-server"],
    command: vitest("engine"),
    timeoutMs: 20 * MINUTE_MS,
  },
  {
    name: "usage as a table of FOCUS",
    runs: "ci",
    engine: "focus-validator",
    needs: ["focus-validator"],
    command: ["node", "test/focus/check.ts"],
    timeoutMs: 5 * MINUTE_MS,
  },
  {
    name: "the Redis door over a real Valkey",
    runs: "ci",
    engine: "Valkey",
    needs: ["valkey-server"],
    command: vitest("valkey"),
    timeoutMs: 8 * MINUTE_MS,
  },
  {
    name: "end to end, delivery by Redis",
    runs: "ci",
    engine: "Redis",
    needs: ["python3", "redis-server"],
    command: vitest("e2e-kv"),
    timeoutMs: 8 * MINUTE_MS,
  },
  {
    name: "fuzzing",
    runs: "ci",
    engine: "time",
    needs: [],
    command: ["node", "test/fuzz/main.ts", "--inputs", "1000000"],
    timeoutMs: 20 * MINUTE_MS,
  },
  {
    name: "hidden words",
    runs: "ci",
    engine: "time",
    needs: [],
    command: ["node", "test/unit/content-safety/main.ts", "--evasions", "300000"],
    timeoutMs: 8 * MINUTE_MS,
  },
  {
    name: "environments by uv",
    runs: "ci",
    engine: "uv",
    needs: ["python3", "uv"],
    command: vitest("environments"),
    timeoutMs: 5 * MINUTE_MS,
  },
  {
    name: "Schemathesis",
    runs: "ci",
    engine: "Schemathesis",
    needs: ["python3", "st"],
    command: ["node", "test/schemathesis/run.ts"],
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "the edge as a service, and a GPU host in a clean Debian",
    runs: "ci",
    engine: "debootstrap",
    needs: ["python3", "curl", "debootstrap"],
    command: vitest("self-host"),
    timeoutMs: 24 * MINUTE_MS,
  },
  {
    name: "a deployment by wrangler, to a Cloudflare of ours",
    runs: "ci",
    engine: "wrangler",
    needs: ["python3"],
    command: vitest("deploy"),
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "what deploy/ holds, statically",
    runs: "ci",
    engine: "hadolint, shellcheck, Kubernetes' schemas, Caddy, systemd",
    needs: ["hadolint", "shellcheck", "kubernetes-validate", "caddy", "systemd-analyze"],
    command: vitest("deploy-files"),
    timeoutMs: 6 * MINUTE_MS,
  },
  {
    name: "models through the pool",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: vitest("through-pool"),
    timeoutMs: 8 * MINUTE_MS,
  },
  {
    name: "models that are kept apart",
    runs: "ci",
    engine: "bubblewrap",
    needs: ["bwrap", "python3"],
    command: vitest("isolation"),
    timeoutMs: 6 * MINUTE_MS,
  },
  {
    name: "model process on every Python here",
    runs: "ci",
    engine: "Python 3.8",
    needs: ["python3"],
    command: ["node", "test/models/on-every-python.ts"],
    timeoutMs: 16 * MINUTE_MS,
  },
  {
    name: "streams that break off, and memory",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: vitest("streams"),
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "clients and snippets",
    runs: "ci",
    engine: "npm and PyPI replicate",
    needs: ["python3", "openssl", "curl"],
    command: vitest("clients"),
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "pages in a browser",
    runs: "ci",
    engine: "Chromium",
    needs: ["python3", "chromium"],
    command: vitest("browser"),
    timeoutMs: 6 * MINUTE_MS,
  },
  {
    name: "soak",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: ["node", "scripts/soak.ts", "--minutes", "4", "--slack", "2"],
    // Four minutes, two and a half more where something drifted, half a one for the start; the rest for a slow machine.
    timeoutMs: 18 * MINUTE_MS,
    measures: "amounts",
  },
  {
    name: "idle costs nothing",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: ["node", "test/bench/idle.ts", "--minutes", "1"],
    timeoutMs: 8 * MINUTE_MS,
    measures: "amounts",
  },
  {
    name: "a guard on the pools' own GPUs",
    runs: "ci",
    engine: "alt-profanity-check",
    needs: ["python3"],
    command: [...vitest("steady"), "test/steady/model-guard.test.ts", "test/steady/profanity-guard.test.ts"],
    timeoutMs: 16 * MINUTE_MS,
  },
  {
    name: "many pools, steadily",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: [...vitest("steady"), "test/steady/steady.test.ts"],
    timeoutMs: 20 * MINUTE_MS,
    measures: "times",
  },
  {
    name: "guards, steadily",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: [...vitest("steady"), "test/steady/guards.test.ts"],
    timeoutMs: 12 * MINUTE_MS,
    measures: "times",
  },
  {
    name: "chaos",
    runs: "ci",
    engine: "time, Redis",
    needs: ["python3", "redis-server"],
    command: [...vitest("chaos"), "test/chaos/chaos.test.ts", "test/chaos/usage.test.ts"],
    timeoutMs: 60 * MINUTE_MS,
    measures: "times",
  },
  {
    name: "machines that come and go",
    runs: "ci",
    engine: "time",
    needs: ["python3"],
    command: [...vitest("chaos"), "test/chaos/machines"],
    timeoutMs: 12 * MINUTE_MS,
  },
  {
    name: "chaos over Kafka",
    runs: "ci",
    engine: "Apache Kafka",
    needs: ["java", "python3"],
    command: vitest("chaos-kafka"),
    timeoutMs: 20 * MINUTE_MS,
    measures: "times",
  },
];
