/** The settings of `rate-limit`. */
import * as z from "zod";

export const limitSubjects = ["key", "account", "model", "ip", "everyone"] as const;
export type LimitSubject = (typeof limitSubjects)[number];

const MAX_AMOUNT = 1e12;
const MAX_WINDOW_MS = 366 * 86_400_000;

const amount = z.number().int().min(0).max(MAX_AMOUNT);

const subjectSchema = z.enum(limitSubjects);
const common = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,19}$/)
    .meta({ description: "Lower-case letters, digits and hyphens; unique. Renamed, a limit begins anew." }),
  per: z
    .union([subjectSchema, z.array(subjectSchema).min(1).max(3)])
    .meta({ description: "Whose use is counted; of several, each combination by itself. IPv6 counts by /64." }),
  limit: amount.meta({ description: "The most in a window, at a time, or in the bucket. 0 lets nothing through." }),
};

const WindowSchema = z.strictObject({
  ...common,
  of: z.enum(["requests", "cost", "bytes"]).default("requests"),
  algorithm: z.enum(["fixed-window", "sliding-window"]).default("sliding-window"),
  windowMs: z.number().int().min(1000).max(MAX_WINDOW_MS).default(60_000),
});
const BucketSchema = z.strictObject({
  ...common,
  of: z.enum(["requests", "cost", "bytes"]).default("requests"),
  algorithm: z.literal("token-bucket"),
  windowMs: z.number().int().min(1000).max(MAX_WINDOW_MS).default(60_000),
  refill: amount.min(1).meta({ description: "Tokens that come in `windowMs`, evenly, up to `limit`." }),
});
const ConcurrencySchema = z.strictObject({ ...common, of: z.literal("concurrency") });

export const LimitSchema = z.union([ConcurrencySchema, BucketSchema, WindowSchema]);
export type Limit = z.output<typeof LimitSchema>;

export const ConfigSchema = z.strictObject({
  limits: z
    .array(LimitSchema)
    .min(1)
    .max(8)
    .refine((limits) => new Set(limits.map(({ name }) => name)).size === limits.length, "two limits have one name"),
  store: z.enum(["objects", "redis"]).default("objects").meta({
    description: "Where use is counted: in Durable Objects, or in the Redis of `KV_REST_URL` by `@upstash/ratelimit`.",
  }),
});
