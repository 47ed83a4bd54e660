/** The bindings of wrangler.toml, typed. */
import type { Allowance } from "./allowance/allowance-object.ts";
import type { LedgerObject } from "./ledger/ledger-object.ts";
import type { CanaryWatch } from "./canary/canary-object.ts";
import type { LogBroker } from "./log/broker.ts";
import type { Lane } from "./lane/lane.ts";
import type { QuotaVars } from "./registry/quotas.ts";
import type { UsageMeter } from "./metering/usage-meter.ts";
import type { PoolSession } from "./fleet/pool-session.ts";
import type { ResponseCache } from "./responses/response-cache-object.ts";
import type { Scaler } from "./scaling/object/scaler.ts";
import type { SettingsObject } from "./settings/settings-object.ts";
import type { AccountIndex } from "./shard/account-index.ts";
import type { PredictionShard } from "./shard/shard.ts";
import type { WebhookSender } from "./webhooks/sender.ts";

export type Env = QuotaVars & {
  SHARD_COUNT: string;
  LOG_BROKERS: string;
  LOG_PARTITIONS: string;
  /**
   * The address that clients use, such as `https://edge.example.com`, if a proxy in front makes it another than
   * requests carry.
   */
  PUBLIC_ORIGIN?: string;
  /**
   * Secret: signs links and cursors and derives ids. At least 32 characters; `wrangler secret put EDGEPLANE_SECRET`.
   */
  EDGEPLANE_SECRET: string;
  /**
   * Secrets: what API keys and pool tokens carry a MAC of. Unset, it is derived from `EDGEPLANE_SECRET`; what was made
   * with the one before stays valid while that is set too. At least 32 characters.
   */
  CREDENTIAL_SECRET?: string;
  CREDENTIAL_SECRET_BEFORE?: string;
  /** Secret: the operator's key for `/admin/v1`. Unset, those routes answer 404. */
  ADMIN_KEY?: string;
  /** Secret: JSON list of the `/kafka` users. Unset, `/kafka` answers 404 to all but pools. */
  KAFKA_USERS?: string;
  /** Topics that ended predictions are published to, by commas: `results`, `usage`, `jobs.dlq`. None. */
  PUBLISH_TOPICS?: string;
  /** `1` lets `results` carry outputs up to 256 KiB. */
  PUBLISH_OUTPUT?: string;
  /** What `usage` carries: `events` (the default), or `v1`: what releases before published of ended predictions. */
  PUBLISH_USAGE?: string;
  /** How long, and how many bytes a partition, the embedded log keeps. 7 days and 64 MiB. */
  LOG_RETENTION_MS?: string;
  LOG_RETENTION_BYTES?: string;
  /** What one user of `/kafka` may have on the embedded log: `src/log/quotas.ts`. */
  LOG_USER_TOPICS?: string;
  LOG_USER_BYTES?: string;
  LOG_USER_GROUPS?: string;
  LOG_USER_INSTANCES?: string;
  LOG_USER_OFFSETS?: string;
  /** What an isolate holds of request bodies, 64 MiB, and of one account's, 32 MiB. */
  BODY_BYTES?: string;
  ACCOUNT_BODY_BYTES?: string;
  /** Live streams and held requests that one account may have open at one shard: 500 and 2,000. */
  ACCOUNT_STREAMS?: string;
  ACCOUNT_HELD_REQUESTS?: string;
  /**
   * Webhook requests open to one host at a time, 20; what one account's may take there while they wait, 256 MiB, and in
   * the log, 64 MiB.
   */
  WEBHOOK_HOST_REQUESTS?: string;
  WEBHOOK_ACCOUNT_BYTES?: string;
  WEBHOOK_ACCOUNT_LOG_BYTES?: string;
  /** An Upstash-dialect Kafka to produce to instead of the embedded log: its URL; user and password are secrets. */
  LOG_URL?: string;
  LOG_USERNAME?: string;
  LOG_PASSWORD?: string;
  /**
   * How events of pools come home: `http` (the default), or `kv`: parked in Redis only, `/pool/v1/events` is closed.
   */
  DELIVERY?: string;
  /**
   * A Redis over the Upstash REST dialect, where pools may park their events; the token is a secret. Keys begin with
   * `edgeplane:` unless KV_PREFIX says else.
   */
  KV_REST_URL?: string;
  KV_REST_TOKEN?: string;
  KV_PREFIX?: string;
  /**
   * Who is charged for what instances take beside predictions: `owner`, the account that deployed their version first;
   * or nobody, which is the default.
   */
  CHARGE_INSTANCES?: string;
  /** Owners whose models may run on pools that don't isolate them, by commas. `local`. */
  TRUSTED_OWNERS?: string;
  /** `1` lets tests of a local stack make the embedded log fail on purpose; never deployed. */
  LOCAL_FAULTS?: string;
  /** `1` lets webhooks and URL inputs reach loopback: the local stack's switch, never deployed. */
  ALLOW_LOOPBACK_TARGETS?: string;
  /**
   * The files of `/docs` and `/pool` in the local stack; a deployment serves them before the Worker is asked (`wrangler
   * deploy --assets`).
   */
  DOCS_ASSETS?: Fetcher;
  /** Loads uploaded plugins: `wrangler deploy --env plugins` binds it. */
  LOADER?: WorkerLoader;
  /** The local stack's way to run uploaded plugins: who starts their processes, and the way to these. */
  PLUGIN_SUPERVISOR?: Fetcher;
  PLUGIN_HOSTS?: Fetcher;
  DB: D1Database;
  BLOBS: R2Bucket;
  SHARD: DurableObjectNamespace<PredictionShard>;
  LANE: DurableObjectNamespace<Lane>;
  LOG: DurableObjectNamespace<LogBroker>;
  POOL: DurableObjectNamespace<PoolSession>;
  WEBHOOKS: DurableObjectNamespace<WebhookSender>;
  INDEX: DurableObjectNamespace<AccountIndex>;
  SETTINGS: DurableObjectNamespace<SettingsObject>;
  ALLOWANCE: DurableObjectNamespace<Allowance>;
  LEDGER: DurableObjectNamespace<LedgerObject>;
  CANARY: DurableObjectNamespace<CanaryWatch>;
  METER: DurableObjectNamespace<UsageMeter>;
  RESPONSES: DurableObjectNamespace<ResponseCache>;
  SCALER: DurableObjectNamespace<Scaler>;
};
