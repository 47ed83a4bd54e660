/** Parameters that several routes take, parsed as they are described. */
import * as z from "zod";
import { decodeCursor, forward, ofList } from "./replicate/cursor.ts";

/** A whole number from `min` to `max`, of the query. */
export function wholeNumber(min: number, max: number) {
  return z
    .string()
    .regex(new RegExp(`^\\d{1,${String(max).length}}$`), `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a whole number from ${min} to ${max}`)
    .meta({
      override: ({ jsonSchema }) => {
        delete jsonSchema.pattern;
        Object.assign(jsonSchema, { type: "integer", minimum: min, maximum: max });
      },
    });
}

/** A time of the query, as milliseconds since the epoch. */
export const TimeSchema = z
  .union([z.iso.datetime({ offset: true, local: true }), z.iso.date()], "must be a time such as 2026-01-31T12:00:00Z")
  .transform((text) => Date.parse(text))
  .meta({ examples: ["2026-01-31T12:00:00Z"] });

const CURSOR = { description: "A place in the list: take it from `next` or `previous`, whose links carry it." };

/** A cursor of a list that is read in both directions, whose entries' ids have this form; null when there is none. */
export function cursorOf(idForm: RegExp) {
  return z
    .string()
    .optional()
    .transform((text) => ofList(decodeCursor(text), idForm))
    .meta(CURSOR);
}

/** The same of a list that is read forwards only. */
export function forwardCursorOf(idForm: RegExp) {
  return z
    .string()
    .optional()
    .transform((text) => forward(ofList(decodeCursor(text), idForm)))
    .meta(CURSOR);
}

/** What a signed link carries in its query; the route verifies it. */
export const LinkQuerySchema = z.object({
  expires: z.string().optional().meta({ description: "Until when the link works, in seconds since the epoch." }),
  signature: z.string().optional().meta({ description: "What makes the link work." }),
});

export const ModelPathSchema = z.object({
  owner: z.string().meta({ description: "The model's owner.", examples: ["local"] }),
  name: z.string().meta({ description: "The model's name.", examples: ["hello-world"] }),
});
export const VersionPathSchema = ModelPathSchema.extend({
  version: z.string().meta({ description: "The version's 64 hexadecimal digits." }),
});
