/** Loaded before a program (`--import`): its wall clock is off by CHAOS_CLOCK_SHIFT_MS; its monotonic clock is not. */
const shiftMs = Number(process.env["CHAOS_CLOCK_SHIFT_MS"] ?? 0);
const TrueDate = Date;
const trueNow = Date.now;

class ShiftedDate extends TrueDate {
  constructor(...args: [] | [string | number | Date]) {
    super(args.length === 0 ? trueNow() + shiftMs : args[0]);
  }

  static override now(): number {
    return trueNow() + shiftMs;
  }
}

Object.defineProperty(globalThis, "Date", { value: ShiftedDate, configurable: true, writable: true });
