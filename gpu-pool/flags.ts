/** The flags of the pool's command, each with its twin in the environment. Their defaults stand in settings.ts. */

type Flag = { env: string; help: string; short?: string; boolean?: true };

export const flags = {
  url: { env: "EDGEPLANE_URL", help: "the edge's address, such as https://edge.example.com (required)" },
  token: {
    env: "EDGEPLANE_POOL_TOKEN",
    help: "the pool's token (required; better in a file, or in the environment, than in the arguments)",
  },
  "token-file": {
    env: "EDGEPLANE_POOL_TOKEN_FILE",
    help: "a file that holds the token, in place of --token: nobody sees it among the processes of the host",
  },
  models: { env: "EDGEPLANE_MODELS", help: "the folder with the models, one subfolder each (default ./examples)" },
  enable: {
    env: "EDGEPLANE_ENABLE",
    help: "models to serve although their cog.yaml turns them off, by commas (default none)",
  },
  name: {
    env: "EDGEPLANE_POOL_NAME",
    help: "the pool's name (default: the host's name and a random part, kept in the state folder)",
  },
  "state-dir": {
    env: "EDGEPLANE_STATE_DIR",
    help: "where the journal, the spool and scratch files live (default ~/.edgeplane/pool)",
  },
  "environments-dir": {
    env: "EDGEPLANE_ENVIRONMENTS_DIR",
    help: "where all pools of the host keep the models' environments (default ~/.cache/edgeplane/environments; root: /var/cache/edgeplane/environments)",
  },
  "environments-bytes": {
    env: "EDGEPLANE_ENVIRONMENTS_BYTES",
    help: "what they may take on disk before those that nobody uses are removed (default 53687091200)",
  },
  "stored-environments": {
    env: "EDGEPLANE_STORED_ENVIRONMENTS",
    help: "0 builds every environment here, whatever other hosts have stored, and stores none (default 1)",
  },
  "bundles-dir": {
    env: "EDGEPLANE_BUNDLES_DIR",
    help: "where all pools of the host keep the files of pushed models (default ~/.cache/edgeplane/bundles; root: /var/cache/edgeplane/bundles)",
  },
  "bundles-bytes": {
    env: "EDGEPLANE_BUNDLES_BYTES",
    help: "what they may take on disk before those that nobody uses are removed (default 214748364800)",
  },
  "log-url": {
    env: "EDGEPLANE_LOG_URL",
    help: "another log that speaks the Upstash Kafka dialect, such as a bridge (default: the edge's own)",
  },
  "log-username": { env: "EDGEPLANE_LOG_USERNAME", help: "the user at that log (default pool)" },
  "log-password": { env: "EDGEPLANE_LOG_PASSWORD", help: "the password at that log (default: the pool's token)" },
  "log-password-file": { env: "EDGEPLANE_LOG_PASSWORD_FILE", help: "a file that holds it, in place of --log-password" },
  "kafka-settings": {
    env: "EDGEPLANE_KAFKA_SETTINGS",
    help: "a JSON file {brokers, tls, sasl, topics}: read jobs from this Kafka cluster natively (default: not)",
  },
  delivery: {
    env: "EDGEPLANE_DELIVERY",
    help: "how events go home: http, or kv: parked in a Redis over REST, where the edge finds them (default http)",
  },
  "kv-url": { env: "EDGEPLANE_KV_URL", help: "for --delivery kv: that Redis, such as a bridge's /redis" },
  "kv-token": { env: "EDGEPLANE_KV_TOKEN", help: "for --delivery kv: the token for it" },
  "kv-token-file": { env: "EDGEPLANE_KV_TOKEN_FILE", help: "a file that holds it, in place of --kv-token" },
  "kv-prefix": {
    env: "EDGEPLANE_KV_PREFIX",
    help: "for --delivery kv: what the pool's keys begin with (default edgeplane:)",
  },
  warm: {
    env: "EDGEPLANE_WARM",
    help: "start a process of every model at once instead of on first use (default off)",
    boolean: true,
  },
  "ahead-batches": {
    env: "EDGEPLANE_AHEAD_BATCHES",
    help: "the most batches that wait here for each slot; only what should begin within half a second does (default 32)",
  },
  "setup-timeout-ms": {
    env: "EDGEPLANE_SETUP_TIMEOUT_MS",
    help: "how long import and setup() of a model may take (default 600000)",
  },
  "cancel-grace-ms": {
    env: "EDGEPLANE_CANCEL_GRACE_MS",
    help: "from a cancel, or a deadline, to the kill (default 5000)",
  },
  "silence-ms": {
    env: "EDGEPLANE_SILENCE_MS",
    help: "a model process without a sign of life for so long is killed (default 10000)",
  },
  "health-every-ms": {
    env: "EDGEPLANE_HEALTH_EVERY_MS",
    help: "how often a model with a healthcheck is asked (default 10000)",
  },
  "idle-stop-ms": {
    env: "EDGEPLANE_IDLE_STOP_MS",
    help: "a model process without work for so long is stopped (default 600000; 0: never)",
  },
  "drain-timeout-ms": {
    env: "EDGEPLANE_DRAIN_TIMEOUT_MS",
    help: "how long a drain waits for what runs (default 60000)",
  },
  preemption: {
    env: "EDGEPLANE_PREEMPTION",
    help: "whose notices end this pool: aws, gcp, azure, auto (whose metadata service answers at start) or off (default auto)",
  },
  "metadata-url": {
    env: "EDGEPLANE_METADATA_URL",
    help: "the metadata service of the cloud (default http://169.254.169.254)",
  },
  "drain-file": {
    env: "EDGEPLANE_DRAIN_FILE",
    help: "a file whose appearance starts a drain, with the seconds that are left in it (default <state-dir>/drain)",
  },
  "max-input-bytes": {
    env: "EDGEPLANE_MAX_INPUT_BYTES",
    help: "the largest input file that is downloaded (default 1073741824)",
  },
  "max-inputs-bytes": {
    env: "EDGEPLANE_MAX_INPUTS_BYTES",
    help: "the most that all input files of one prediction are together (default 4294967296)",
  },
  "max-pool-input-bytes": {
    env: "EDGEPLANE_MAX_POOL_INPUT_BYTES",
    help: "the most that the input files of all predictions here take together (default 17179869184)",
  },
  "max-upload-backlog-bytes": {
    env: "EDGEPLANE_MAX_UPLOAD_BACKLOG_BYTES",
    help: "so many bytes of outputs may wait for their upload before the pool takes nothing more (default 8589934592)",
  },
  "min-free-disk-bytes": {
    env: "EDGEPLANE_MIN_FREE_DISK_BYTES",
    help: "with less free on the state folder's disk nothing more is taken (default 536870912; 0: never looked at)",
  },
  "allow-loopback-inputs": {
    env: "EDGEPLANE_ALLOW_LOOPBACK_INPUTS",
    help: "input URLs may lead to this host (default off: public addresses only)",
    boolean: true,
  },
  "allow-build-run": {
    env: "EDGEPLANE_ALLOW_BUILD_RUN",
    help: "run the commands of build.run in cog.yaml on this host (default off)",
    boolean: true,
  },
  "allow-system-packages": {
    env: "EDGEPLANE_ALLOW_SYSTEM_PACKAGES",
    help: "install build.system_packages of cog.yaml on this host with apt, as root (default off)",
    boolean: true,
  },
  isolation: {
    env: "EDGEPLANE_ISOLATION",
    help: "what keeps models from the pool's secrets and from each other: auto (the best that the host can), required, namespaces (bubblewrap), user (as root: a user for each model) or off (default auto)",
  },
  readable: {
    env: "EDGEPLANE_READABLE",
    help: "folders of this host that isolated models may read, by commas, such as weights outside of their folders (default none)",
  },
  "trusted-owners": {
    env: "EDGEPLANE_TRUSTED_OWNERS",
    help: "owners whose models may run where nothing isolates them, by commas (default local)",
  },
  "device-check": {
    env: "EDGEPLANE_DEVICE_CHECK",
    help: "checks each GPU at start: auto, off, or a program that gets its id and exits with 1 when it is sick (default auto)",
  },
  "metrics-port": {
    env: "EDGEPLANE_METRICS_PORT",
    help: "port of /healthz, /metrics and /models on 127.0.0.1 (default 9464; 0: a free one)",
  },
  "metrics-host": { env: "EDGEPLANE_METRICS_HOST", help: "the address to listen on (default 127.0.0.1)" },
  "log-level": { env: "EDGEPLANE_LOG_LEVEL", help: "fatal, error, warn, info, debug, trace or silent (default info)" },
  "log-model-output": {
    env: "EDGEPLANE_LOG_MODEL_OUTPUT",
    help: "log what models print outside predictions; may hold prompts (default off)",
    boolean: true,
  },
  help: { env: "", help: "print this", short: "h", boolean: true },
} as const satisfies Record<string, Flag>;
