/** The last day's arrivals, with what holds for their models under some settings: what `whatIf` asks for. */
import type { ScalingSettings } from "../../contract/scaling.ts";
import { MAX_ARRIVALS } from "../what-if.ts";
import type { Asked } from "../what-if.ts";
import { settingsOf } from "./class-state.ts";
import type { ScalerCore } from "./core.ts";
import { fitting } from "./offers.ts";
import type { Minute } from "./rows.ts";

const UNKNOWN_BOOT_S = 60;
const UNKNOWN_WORK_S = 1;
const MINUTE_S = 60;
const MAX_MODELS = 5;

/** `leftOut`: models with fewer arrivals than those that are looked at, or without a class, and why. */
export type Past = { asked: Asked[]; leftOut: { model: string; why: string }[] };

export function pastOf(core: ScalerCore, minutes: readonly Minute[], draft: ScalingSettings | null): Past {
  const settings = draft ?? core.settings;
  const leftOut: Past["leftOut"] = [];
  const asked: Asked[] = [];
  const byModel = [...arrivalsOf(minutes)].toSorted(([, a], [, b]) => b.arrivals - a.arrivals);
  for (const [key, { atS, arrivals }] of byModel) {
    const [model = ""] = key.split(" ");
    const { hardware, why, targetS, min, max } = core.resolved(key, settings);
    const own = settingsOf(settings, hardware ?? "");
    const { offers, why: whyNone } = fitting(core.offers(), hardware ?? "", own, settings.currency);
    const [cheapest] = offers.toSorted((a, b) => a.pricePerHourNano - b.pricePerHourNano);
    if (hardware === null) leftOut.push({ model, why: why ?? "it has no class" });
    else if (cheapest === undefined) leftOut.push({ model, why: whyNone ?? "there is no offer" });
    else if (asked.length >= MAX_MODELS) leftOut.push({ model, why: `${MAX_MODELS} models have more arrivals` });
    else {
      const bootS = (core.learned.bootMs(hardware) ?? UNKNOWN_BOOT_S * 1000) / 1000;
      asked.push({
        ...{ name: key, atS, arrivals, workS: core.appetites.get(key)?.workS ?? UNKNOWN_WORK_S },
        ...{ targetS: targetS ?? own.target_wait_s, min, max: Math.min(max, own.max) },
        kind: { bootS, slots: 1, billingS: cheapest.billingIncrementS, lossPerHour: 0 },
        pricePerHourNano: cheapest.pricePerHourNano,
      });
    }
  }
  return { asked, leftOut };
}

type Arrivals = Pick<Asked, "arrivals"> & { atS: number[] };

/** Of each version, how many there were, and when the latest came: there may be millions in a day. */
function arrivalsOf(minutes: readonly Minute[]): Map<string, Arrivals> {
  const found = new Map<string, Arrivals>();
  for (const { minute, versions } of minutes.toReversed()) {
    for (const [key, seconds] of Object.entries(versions)) {
      const of = found.get(key) ?? { arrivals: 0, atS: [] };
      found.set(key, of);
      for (const [second, count] of seconds.toReversed()) {
        of.arrivals += count;
        const kept = Math.min(count, MAX_ARRIVALS - of.atS.length);
        for (let n = 0; n < kept; n += 1) of.atS.push(minute * MINUTE_S + second);
      }
    }
  }
  for (const { atS } of found.values()) atS.reverse();
  return found;
}
