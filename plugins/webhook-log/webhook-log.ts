/**
 * `webhook-log`: tells what plugins decided, as events of the topic `audit` and to a receiver of the operator's. It
 * decides nothing itself, and delays nothing.
 */
import * as z from "zod";
import { definePlugin } from "../kernel/define-plugin.ts";
import { verdictActions } from "../../src/contract/verdict.ts";

export const webhookLog = definePlugin({
  name: "webhook-log",
  apiVersion: 1,
  phases: [],
  observes: true,
  needs: ["audit", "secrets"],
  failMode: "open",
  config: z
    .strictObject({
      actions: z
        .array(z.enum(verdictActions))
        .min(1)
        .default([...verdictActions])
        .meta({ description: "Which verdicts are told: refusals, changes, findings, what shadows, what broke." }),
      topic: z.boolean().default(true).meta({ description: "Whether the topic `audit` gets them." }),
      url: z
        .url({ protocol: /^https?$/ })
        .max(2048)
        .optional()
        .meta({ description: "A receiver that gets them too." }),
      secret: z
        .string()
        .regex(/^PLUGIN_[A-Z0-9_]{1,64}$/)
        .optional()
        .meta({ description: "The secret of the deployment that signs what the receiver gets: `whsec_` and base64." }),
    })
    .refine(({ topic, url }) => topic || url !== undefined, "nobody would be told: set `url`, or leave `topic` on")
    .refine(({ url, secret }) => (url === undefined) === (secret === undefined), "`url` and `secret` go together"),
  setup: ({ config: { actions, topic, url, secret }, services: { audit, secrets } }) => {
    const told = new Set(actions);
    const sinks = [
      ...(topic ? [audit.topic] : []),
      ...(url === undefined || secret === undefined ? [] : [audit.receiver(url, secrets.get(secret))]),
    ];
    return {
      onVerdict: (event) => {
        if (told.has(event.action)) for (const sink of sinks) sink.note(event);
      },
    };
  },
});
