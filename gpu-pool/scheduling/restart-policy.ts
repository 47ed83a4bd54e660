/**
 * When a model process that died is started again.
 *
 *   healthy death (it was ready once)   → at once, until `loopCount` of them fall into `loopWindowMs`: then backoff
 *   death before it was ready           → backoff; after `setupTries` in a row the model counts as broken
 *
 * Broken means: what waits is handed back, and the next try comes after `brokenMs`, when somebody asks.
 */
import { createBackoff } from "./backoff.ts";

export type RestartDecision =
  | { restart: "after"; delayMs: number; looping: boolean }
  | { restart: "broken"; retryAfterMs: number };

export type RestartPolicy = {
  /** The process became ready. */
  ready(): void;
  /** The process died without being told to, at `nowMs`. */
  died(nowMs: number): RestartDecision;
};

export type RestartOptions = {
  setupTries: number;
  loopCount: number;
  loopWindowMs: number;
  brokenMs: number;
  random?: () => number;
};

export const restartDefaults: RestartOptions = {
  setupTries: 3,
  loopCount: 20,
  loopWindowMs: 60_000,
  brokenMs: 60_000,
};

export function createRestartPolicy(options: RestartOptions = restartDefaults): RestartPolicy {
  const jitter = options.random === undefined ? {} : { random: options.random };
  const setupBackoff = createBackoff({ firstMs: 500, capMs: 30_000, ...jitter });
  const loopBackoff = createBackoff({ firstMs: 1000, capMs: 30_000, ...jitter });
  let wasReady = false;
  let deathsAtMs: number[] = [];
  return {
    ready() {
      wasReady = true;
      setupBackoff.reset();
    },
    died(nowMs) {
      if (!wasReady) {
        const delayMs = setupBackoff.nextMs();
        if (setupBackoff.failures < options.setupTries) return { restart: "after", delayMs, looping: false };
        setupBackoff.reset();
        return { restart: "broken", retryAfterMs: options.brokenMs };
      }
      wasReady = false;
      deathsAtMs = deathsAtMs.filter((atMs) => nowMs - atMs < options.loopWindowMs);
      deathsAtMs.push(nowMs);
      if (deathsAtMs.length < options.loopCount) {
        loopBackoff.reset();
        return { restart: "after", delayMs: 0, looping: false };
      }
      return { restart: "after", delayMs: loopBackoff.nextMs(), looping: true };
    },
  };
}
