/** Scaling in Prometheus' text format. */
import { amountOf } from "../../contract/price.ts";
import type { ScalingStatus } from "../../scaling/object/status.ts";

type Sample = [labels: Record<string, string>, value: string | number];

/** Values of labels are names of this product's: they need no escaping. */
export function scalingMetrics(status: ScalingStatus): string {
  const { classes, models, machines, providers, counts, currency } = status;
  const byState = new Map<string, number>();
  for (const { hardware, provider, state } of machines) {
    const key = JSON.stringify({ hardware, provider, state });
    byState.set(key, (byState.get(key) ?? 0) + 1);
  }
  const families: [name: string, type: "gauge" | "counter", help: string, samples: Sample[]][] = [
    [
      "machines_wanted",
      "gauge",
      "Machines that there should be.",
      classes.map(({ hardware, wanted }) => [{ hardware }, wanted]),
    ],
    [
      "machines",
      "gauge",
      "Machines that there are, by state.",
      [...byState].map(([key, count]) => [JSON.parse(key) as Record<string, string>, count]),
    ],
    [
      "spent",
      "gauge",
      "What machines cost in this UTC month.",
      classes.map(({ hardware, spentNano }) => [{ hardware, currency }, amountOf(spentNano)]),
    ],
    [
      "waiting",
      "gauge",
      "Predictions that wait, by model.",
      models.map(({ model, version, waiting }) => [{ model, version }, waiting]),
    ],
    [
      "model_machines_wanted",
      "gauge",
      "Machines that a model would have.",
      models.map(({ model, version, wanted }) => [{ model, version }, wanted]),
    ],
    [
      "provider_up",
      "gauge",
      "Whether a provider was heard lately.",
      providers.map(({ name, isHere }) => [{ provider: name }, Number(isHere)]),
    ],
    [
      "provider_balance_low",
      "gauge",
      "Whether a provider's balance is below low_balance.",
      providers.map(({ name, isLow }) => [{ provider: name }, Number(isLow)]),
    ],
    [
      "provider_returned_total",
      "counter",
      "Machines that a provider service returned because nobody wanted them.",
      providers.flatMap(({ name, orphansReturned, duplicatesReturned }): Sample[] => [
        [{ provider: name, kind: "orphan" }, orphansReturned],
        [{ provider: name, kind: "duplicate" }, duplicatesReturned],
      ]),
    ],
    [
      "machine_faults_total",
      "counter",
      "Machines that came to nothing, since the scaler's last start.",
      Object.entries(counts).map(([kind, count]) => [{ kind }, count]),
    ],
  ];
  return families
    .map(([name, type, help, samples]) => {
      const full = `edgeplane_scaling_${name}`;
      const lines = samples.map(([labels, value]) => {
        const text = Object.entries(labels).map(([label, one]) => `${label}="${one}"`);
        return `${full}{${text.join(",")}} ${value}\n`;
      });
      return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.join("")}`;
    })
    .join("");
}
