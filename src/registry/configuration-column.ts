/** How a model or a deployment runs, as its row has it: JSON, or null. */
import * as z from "zod";
import { ModelConfigurationSchema } from "../contract/model-configuration.ts";

/** Of one answer to a pool: models that say something, and versions. */
export const MAX_CONFIGURED = 1000;

export const ConfigurationColumnSchema = z
  .string()
  .nullable()
  .transform((text) => (text === null ? null : ModelConfigurationSchema.parse(JSON.parse(text))));
