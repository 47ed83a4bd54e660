/** Every built-in plugin, in one literal. A plugin that is not listed here does not exist for the gateway. */
import { apiKey } from "./api-key/api-key.ts";
import { budget } from "./budget/budget.ts";
import { contentSafety } from "./content-safety/content-safety.ts";
import { cors } from "./cors/cors.ts";
import { ipRules } from "./ip-rules/ip-rules.ts";
import type { Plugin } from "./kernel/define-plugin.ts";
import { jwt } from "./jwt/jwt.ts";
import { modelGuard } from "./model-guard/model-guard.ts";
import type { PluginSettings } from "./kernel/snapshot.ts";
import { promptGuard } from "./prompt-guard/prompt-guard.ts";
import { queue } from "./queue/queue.ts";
import { rateLimit } from "./rate-limit/rate-limit.ts";
import { remoteGuard } from "./remote-guard/remote-guard.ts";
import { regex } from "./regex/regex.ts";
import { responseCache } from "./response-cache/response-cache.ts";
import { webhookLog } from "./webhook-log/webhook-log.ts";

export const catalog: readonly Plugin[] = [
  ipRules,
  cors,
  apiKey,
  jwt,
  rateLimit,
  budget,
  queue,
  promptGuard,
  contentSafety,
  regex,
  remoteGuard,
  modelGuard,
  responseCache,
  webhookLog,
];

/** The plugins that are on, with their settings, until an operator publishes others. */
export const defaultSettings: PluginSettings = { "api-key": {} };
