/** The pool's Prometheus metrics. Counters move where things happen; gauges are read when somebody looks. */
import type { IsolationKind } from "../runtime/isolation/types.ts";
import type { CudaDevice } from "../runtime/devices/nvidia-smi.ts";
import type { Rates } from "./rates.ts";
import { createRates } from "./rates.ts";
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

const MANY_ATTEMPTS = 3;
const LONG_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
/** From 1 MiB to 256 GiB, each four times the one before. */
const MEMORY_BYTES = Array.from({ length: 10 }, (_, power) => 2 ** 20 * 4 ** power);
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Of one version; gauges tell the sum over all of a model's versions that are here. */
export type ModelGauges = {
  model: string;
  state: string;
  waiting: number;
  held: number;
  slots: number;
  freeSlots: number;
  broken: boolean;
};

export type Gauges = {
  models(): ModelGauges[];
  channelOpen(): boolean;
  undelivered(): number;
  spooled(): number;
  lags(): Promise<{ lane: string; topic: string; lag: number }[]>;
  devices(): readonly CudaDevice[];
  isolation: IsolationKind;
  freeDiskBytes(): number | null;
  inputBytes(): number;
  uploadBytes(): number;
  shortages(): { what: string; problem: string | null }[];
};

export type Metrics = ReturnType<typeof createCounters> & {
  readonly rates: Rates;
  /** A grant came. */
  got(model: string, attempt: number): void;
  /** No version of it is here any more. */
  forget(model: string): Promise<void>;
  /** A request with so many events was answered. */
  sent(events: number): void;
};

export function createMetrics(): Metrics {
  const counters = createCounters();
  const rates = createRates();
  return {
    ...counters,
    rates,
    got(model, attempt) {
      counters.granted.inc({ model });
      counters.attempts.inc({ model, attempt: attempt < MANY_ATTEMPTS ? String(attempt) : `${MANY_ATTEMPTS}+` });
    },
    async forget(model) {
      for (const metric of Object.values(counters)) if (!(metric instanceof Registry)) await forgetIn(metric, model);
    },
    sent(events) {
      counters.eventRequests.inc();
      counters.eventsSent.inc(events);
    },
  };
}

/** Its series are no longer told. */
async function forgetIn(metric: Counter | Gauge | Histogram, model: string): Promise<void> {
  const { values } = await metric.get();
  for (const { labels } of values) {
    if (!("model" in labels) || labels["model"] !== model) continue;
    const { le: _bound, ...own } = labels;
    metric.remove(own);
  }
}

function createCounters() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    granted: new Counter({
      name: "edgeplane_pool_granted_total",
      help: "Grants, by model.",
      labelNames: ["model"],
      registers,
    }),
    refused: new Counter({
      name: "edgeplane_pool_refused_total",
      help: "Claims refused, by reason.",
      labelNames: ["reason"],
      registers,
    }),
    ended: new Counter({
      name: "edgeplane_pool_ended_total",
      help: "Predictions that ended here, by model and outcome.",
      labelNames: ["model", "outcome"],
      registers,
    }),
    batchSize: new Histogram({
      name: "edgeplane_pool_batch_size",
      help: "Predictions in a batch.",
      labelNames: ["model"],
      buckets: [1, 2, 4, 8, 16, 32, 64, 128],
      registers,
    }),
    dispatched: new Counter({
      name: "edgeplane_pool_batches_total",
      help: "Batches, by why they went: full, cost, delay, deadline, idle, again.",
      labelNames: ["model", "reason"],
      registers,
    }),
    queueSeconds: new Histogram({
      name: "edgeplane_pool_queue_seconds",
      help: "How long predictions whose input was there waited for their batch.",
      labelNames: ["model"],
      buckets: SECONDS,
      registers,
    }),
    runSeconds: new Histogram({
      name: "edgeplane_pool_run_seconds",
      help: "How long batches ran.",
      labelNames: ["model"],
      buckets: SECONDS,
      registers,
    }),
    batchMemory: new Histogram({
      name: "edgeplane_pool_batch_memory_bytes",
      help: "What batches took of memory beyond what their process holds at rest.",
      labelNames: ["model"],
      buckets: MEMORY_BYTES,
      registers,
    }),
    paddingWaste: new Histogram({
      name: "edgeplane_pool_padding_waste",
      help: "The share of a batch that is padding: 1 - sum of costs / (size x largest cost).",
      labelNames: ["model"],
      buckets: [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9],
      registers,
    }),
    bisected: new Counter({
      name: "edgeplane_pool_bisected_total",
      help: "Batches run again in halves.",
      labelNames: ["model"],
      registers,
    }),
    deaths: new Counter({
      name: "edgeplane_pool_process_deaths_total",
      help: "Model processes that died without being told to.",
      labelNames: ["model"],
      registers,
    }),
    setupFailures: new Counter({
      name: "edgeplane_pool_setup_failures_total",
      help: "Models that could not be set up; /models has the traceback.",
      labelNames: ["model"],
      registers,
    }),
    loadSeconds: new Histogram({
      name: "edgeplane_pool_load_seconds",
      help: "From the start of a model process, its environment included, to its readiness.",
      labelNames: ["model"],
      buckets: LONG_SECONDS,
      registers,
    }),
    evictSeconds: new Histogram({
      name: "edgeplane_pool_evict_seconds",
      help: "From the word that a process must leave its place for another model, to its end.",
      labelNames: ["model"],
      buckets: LONG_SECONDS,
      registers,
    }),
    attempts: new Counter({
      name: "edgeplane_pool_attempts_total",
      help: "Grants, by which attempt of their prediction they are: 1, 2, 3 and more (3+).",
      labelNames: ["model", "attempt"],
      registers,
    }),
    setupSeconds: new Gauge({
      name: "edgeplane_pool_setup_seconds",
      help: "The last setup().",
      labelNames: ["model"],
      registers,
    }),
    eventsSent: new Counter({
      name: "edgeplane_pool_events_sent_total",
      help: "Events that the edge took.",
      registers,
    }),
    eventRequests: new Counter({
      name: "edgeplane_pool_event_requests_total",
      help: "Requests that carried them.",
      registers,
    }),
    stale: new Counter({
      name: "edgeplane_pool_stale_total",
      help: "Claims that turned out to be another's, or over.",
      registers,
    }),
  };
}

/** Registers the gauges, which read the pool's state at scrape time. */
export function addGauges(registry: Registry, gauges: Gauges): void {
  const registers = [registry];
  const perModel = (name: string, help: string, read: (model: ModelGauges) => number): void => {
    const gauge: Gauge<"model"> = new Gauge({
      name,
      help,
      labelNames: ["model"],
      registers,
      collect: () => {
        gauge.reset();
        for (const model of gauges.models()) gauge.inc({ model: model.model }, read(model));
      },
    });
  };
  const single = (name: string, help: string, read: () => number): void => {
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) });
  };
  perModel("edgeplane_pool_waiting", "Predictions granted and not running.", ({ waiting }) => waiting);
  perModel("edgeplane_pool_held", "Predictions granted and not ended.", ({ held }) => held);
  perModel("edgeplane_pool_slots", "Slots of the model.", ({ slots }) => slots);
  perModel("edgeplane_pool_free_slots", "Slots that run nothing.", ({ freeSlots }) => freeSlots);
  perModel("edgeplane_pool_model_broken", "How many of its versions here could not be set up.", ({ broken }) =>
    broken ? 1 : 0,
  );
  const lag: Gauge<"lane" | "topic"> = new Gauge({
    name: "edgeplane_pool_lane_lag",
    help: "Job records that no pool has committed; of a cluster that is read natively.",
    labelNames: ["lane", "topic"],
    registers,
    async collect() {
      const lags = await gauges.lags();
      lag.reset();
      for (const one of lags) lag.set({ lane: one.lane, topic: one.topic }, one.lag);
    },
  });
  single(
    "edgeplane_pool_disk_free_bytes",
    "Free on the disk of the state folder.",
    () => gauges.freeDiskBytes() ?? NaN,
  );
  single("edgeplane_pool_input_bytes", "Input files of the predictions that are here.", () => gauges.inputBytes());
  single("edgeplane_pool_upload_backlog_bytes", "Outputs that wait for their upload.", () => gauges.uploadBytes());
  const short: Gauge<"what"> = new Gauge({
    name: "edgeplane_pool_short",
    help: "1: the host runs short of it, and takes less for now: disk, inputs, uploads.",
    labelNames: ["what"],
    registers,
    collect() {
      for (const { what, problem } of gauges.shortages()) short.set({ what }, problem === null ? 0 : 1);
    },
  });
  addDeviceGauges(registers, () => gauges.devices());
  const isolation = new Gauge({
    name: "edgeplane_pool_isolation",
    help: "1, with what keeps models from the pool's secrets and from each other.",
    labelNames: ["kind"],
    registers,
  });
  isolation.set({ kind: gauges.isolation }, 1);
  single("edgeplane_pool_channel_open", "1: the control channel is open.", () => (gauges.channelOpen() ? 1 : 0));
  single("edgeplane_pool_undelivered", "Claims with events that the edge lacks.", () => gauges.undelivered());
  single("edgeplane_pool_spooled", "Finished results kept on disk.", () => gauges.spooled());
}

/** What `nvidia-smi` said last of each GPU; what a card doesn't tell has no value. */
function addDeviceGauges(registers: Registry[], devices: Gauges["devices"]): void {
  const perDevice = (name: string, help: string, read: (device: CudaDevice) => number | null): void => {
    const gauge: Gauge<"device"> = new Gauge({
      name: `edgeplane_pool_device_${name}`,
      help,
      labelNames: ["device"],
      registers,
      collect() {
        gauge.reset();
        for (const device of devices()) {
          const value = read(device);
          if (value !== null) gauge.set({ device: device.id }, value);
        }
      },
    });
  };
  perDevice("memory_bytes", "Memory of the GPU.", ({ memoryBytes }) => memoryBytes);
  perDevice("memory_used_bytes", "Used memory of the GPU.", ({ usedBytes }) => usedBytes);
  perDevice("utilization_percent", "Time in which a kernel ran.", ({ utilizationPercent }) => utilizationPercent);
  perDevice("temperature_celsius", "Temperature of the GPU.", ({ temperatureCelsius }) => temperatureCelsius);
  perDevice("power_watts", "Power that the GPU draws.", ({ powerWatts }) => powerWatts);
  perDevice("ecc_errors", "Uncorrected memory errors.", ({ uncorrectedEccErrors }) => uncorrectedEccErrors);
  perDevice("fenced", "1: nothing new is put on it.", ({ problem }) => (problem === null ? 0 : 1));
}
