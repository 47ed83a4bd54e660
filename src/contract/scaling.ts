/** Which machines may be rented, and how many: a part of the numbered settings. */
import * as z from "zod";
import { LaneNameSchema } from "./job.ts";
import { NameSchema } from "./manifest.ts";
import { MachineCountSchema, ModelScalingSchema } from "./model-scaling.ts";
import { CurrencySchema } from "./price.ts";
import { HardwareSchema, ProviderNameSchema } from "./provider.ts";

const MAX_CLASSES = 50;
const NANO = 1e9;
const DAY_S = 86_400;

const AmountSchema = z.number().min(0).max(9_000_000);

const OfferFilterSchema = z.strictObject({
  reliability: z.number().min(0).max(1).optional().meta({ description: "At least, by the provider's own measure." }),
  driver: z
    .string()
    .regex(/^\d+(\.\d+)*$/, "a version, such as 550.54")
    .optional()
    .meta({ description: "The oldest NVIDIA driver." }),
  down_mbps: z.number().min(0).optional().meta({ description: "Bandwidth at least." }),
  regions: z.array(z.string().max(64)).max(50).optional().meta({ description: "Only in these." }),
  price_per_hour: AmountSchema.optional().meta({ description: "At most, of one machine." }),
});
export type OfferFilter = z.output<typeof OfferFilterSchema>;

export const ClassSchema = z
  .strictObject({
    min: MachineCountSchema.default(0).meta({ description: "Machines that there are at least." }),
    max: MachineCountSchema.default(8).meta({ description: "Machines that there are at most." }),
    target_wait_s: z.number().min(0.001).max(DAY_S).default(10).meta({
      description: "95 % of the predictions of its models should begin within this. Below 0.1, more of them.",
    }),
    low_priority_wait_s: z
      .number()
      .min(0)
      .max(7 * DAY_S)
      .default(900)
      .meta({
        description: "Predictions of low priority take spare time until then; only then is a machine rented for them.",
      }),
    keep_alive_s: z
      .strictObject({
        min: z.number().min(0).max(DAY_S).default(0),
        max: z
          .number()
          .min(0)
          .max(7 * DAY_S)
          .optional(),
      })
      .default({ min: 0 })
      .meta({ description: "How long a machine stays that is needed no more: at least, and at most." }),
    memory_gib: z.number().positive().optional().meta({ description: "Of one machine's devices together." }),
    providers: z
      .array(ProviderNameSchema)
      .max(20)
      .optional()
      .meta({ description: "Only these, the first that has an offer first; else the cheapest of all." }),
    spot: z.boolean().default(false).meta({ description: "Whether machines may be rented that can be taken away." }),
    offers: OfferFilterSchema.default({}).meta({ description: "Which offers do." }),
    monthly_cap: AmountSchema.nullable()
      .default(null)
      .meta({ description: "What its machines may cost in a UTC month; then none is rented, whatever waits." }),
    boot_timeout_s: z
      .number()
      .min(30)
      .max(7200)
      .default(900)
      .meta({ description: "A machine whose pool hasn't connected by then is returned, and its offer avoided." }),
    drain_timeout_s: z
      .number()
      .min(1)
      .max(DAY_S)
      .default(600)
      .meta({ description: "How long what runs on a machine that leaves may take to end." }),
    lanes: z.array(LaneNameSchema).min(1).max(64).default(["default"]),
    owners: z
      .array(NameSchema)
      .min(1)
      .max(64)
      .default(["local"])
      .meta({ description: "Whose models its machines run, and may register." }),
    external: z
      .boolean()
      .default(false)
      .meta({ description: "Others start and end its machines, by the metrics: Kubernetes, for one." }),
  })
  .meta({ id: "HardwareClass" });
export type HardwareClass = z.output<typeof ClassSchema>;

export const ScalingSettingsSchema = z
  .strictObject({
    classes: z
      .record(HardwareSchema, ClassSchema)
      .refine((classes) => Object.keys(classes).length <= MAX_CLASSES, `at most ${MAX_CLASSES}`)
      .default({})
      .meta({ description: "By hardware, such as `cpu`. What a provider offers and isn't here has the defaults." }),
    models: z
      .record(z.string().regex(/^[^/\s]{1,128}\/[^/\s]{1,128}$/, "owner/name"), ModelScalingSchema)
      .default({})
      .meta({ description: "What holds for a model in place of what its owner says." }),
    default_class: HardwareSchema.optional().meta({
      description: "Of models that name none that there is; else the cheapest that is offered.",
    }),
    currency: CurrencySchema.default("USD").meta({
      description: "Of all amounts; offers in another one are left alone.",
    }),
    monthly_cap: AmountSchema.nullable()
      .default(null)
      .meta({ description: "What all machines together may cost in a UTC month." }),
    low_balance: AmountSchema.optional().meta({
      description: "A provider that has less left is warned of, in the log and in `GET /admin/v1/scaling`.",
    }),
    deployment_min: MachineCountSchema.default(1).meta({
      description: "The most machines that one deployment may keep by its `min_instances`.",
    }),
  })
  .meta({ id: "Scaling" });
export type ScalingSettings = z.output<typeof ScalingSettingsSchema>;

export const defaultScaling: ScalingSettings = ScalingSettingsSchema.parse({});
export const defaultClass: HardwareClass = ClassSchema.parse({});

/** An amount of the settings in nano-units. */
export function nanoOf(amount: number): number {
  return Math.round(amount * NANO);
}
