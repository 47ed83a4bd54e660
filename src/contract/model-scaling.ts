/** The machines that a model, or a deployment of it, asks for. */
import * as z from "zod";
import { HardwareSchema } from "./provider.ts";

const DAY_MS = 86_400_000;

/** Machines of one class, or of one model. */
export const MachineCountSchema = z.int().min(0).max(1000);

const keys = {
  targetWaitMs: z
    .number()
    .min(1)
    .max(DAY_MS)
    .meta({ description: "95 % of its predictions should begin within this. Below 100, more of them." }),
  min: MachineCountSchema.meta({ description: "Machines that it has at least, though nothing waits." }),
  max: MachineCountSchema.meta({ description: "Machines that it has at most." }),
  hardware: HardwareSchema.meta({ description: "The class of its machines." }),
};

export const ModelScalingSchema = z.strictObject(keys).partial().meta({ id: "ModelScaling" });
export type ModelScaling = z.output<typeof ModelScalingSchema>;

/** The same, as another release may have said it: keys that only a later one knows are passed over. */
export const HeardModelScalingSchema = z.object(keys).partial();
