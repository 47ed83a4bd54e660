/**
 * `webhook-log`: tells what plugins decided, as events of the topic `audit`. It decides nothing itself, and delays
 * nothing.
 */
import * as z from "zod";
import { definePlugin } from "../kernel/define-plugin.ts";
import { verdictActions } from "../../src/contract/verdict.ts";

export const webhookLog = definePlugin({
  name: "webhook-log",
  apiVersion: 1,
  phases: [],
  observes: true,
  needs: ["audit"],
  failMode: "open",
  config: z.strictObject({
    actions: z
      .array(z.enum(verdictActions))
      .min(1)
      .default([...verdictActions])
      .meta({ description: "Which verdicts are told: refusals, changes, findings, what shadows, what broke." }),
  }),
  setup: ({ config, services: { audit } }) => {
    const told = new Set(config.actions);
    return {
      onVerdict: (event) => {
        if (told.has(event.action)) audit.note(event);
      },
    };
  },
});
