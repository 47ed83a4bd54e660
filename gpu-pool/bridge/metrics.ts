/** The bridge's Prometheus metrics. Labels never hold a topic, a key or a user, except lag, which is by topic. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export type Metrics = ReturnType<typeof createMetrics>;

/** A registry of its own, so that several bridges in one process (tests) don't meet. */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    requests: new Counter({
      ...{ name: "edgeplane_bridge_requests_total", help: "Requests by door, operation and status." },
      ...{ labelNames: ["door", "operation", "status"], registers },
    }),
    duration: new Histogram({
      ...{ name: "edgeplane_bridge_request_seconds", help: "How long requests took." },
      ...{ labelNames: ["door", "operation"], buckets: DURATION_BUCKETS, registers },
    }),
    produced: new Counter({
      name: "edgeplane_bridge_produced_records_total",
      help: "Records that the cluster took.",
      registers,
    }),
    sends: new Counter({
      name: "edgeplane_bridge_produce_sends_total",
      help: "Produce requests to the cluster.",
      registers,
    }),
    consumed: new Counter({ name: "edgeplane_bridge_consumed_records_total", help: "Records handed out.", registers }),
    lag: new Gauge({
      ...{
        name: "edgeplane_bridge_consumer_lag",
        help: "Records that a group with instances here has not committed yet.",
      },
      ...{ labelNames: ["group", "topic"], registers },
    }),
    gauge: (name: string, help: string, read: () => number) =>
      new Gauge({
        ...{ name: `edgeplane_bridge_${name}`, help, registers },
        collect() {
          this.set(read());
        },
      }),
  };
}
