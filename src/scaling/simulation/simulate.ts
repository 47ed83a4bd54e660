/**
 * The simulator: the requests of one model, first come first served, over machines that a policy orders. Machines take
 * time to boot, are paid until they are gone, and may be lost; a request whose machine is lost starts anew, at the
 * head. Requests go to the fullest machine that has a slot, whichever policy decides, so that others fall idle.
 */
import { leavesAheadS } from "../leaving.ts";
import type { Fleet, Machines, Policy, Timed } from "../policy.ts";
import { EventHeap } from "./event-heap.ts";
import { seededRandom } from "./random.ts";
import { Rented } from "./rented.ts";
import type { Machine } from "./rented.ts";
import { SpentTime } from "./spent.ts";
import type { Spent } from "./spent.ts";
import { WaitingLine } from "./waiting-line.ts";

const FINISHED = 0;
const BOOTED = 1;
const LOST = 2;
/** In place of a machine's number. */
const NOWHERE = -1;
const SAMPLES = 600;
const MAX_SKIPPED_S = 86_400;
/** At every eighth look the caller is asked whether the rest still matters. */
const HOPE_EVERY = 8;

/** When each request arrives, and for how long it holds a slot. Sorted by arrival. */
export type Requests = { atS: Float64Array; workS: Float64Array };

export type Run = {
  /** Of each request, until the start of the attempt that finished. */
  waitsS: Float64Array;
  /** What was paid for, in seconds of machines. */
  machineS: number;
  /** Where it went. */
  spent: Spent;
  mostMachines: number;
  lost: number;
  late: number;
  /** It was hopeless: the rest of it is missing. */
  isCut: boolean;
  /**
   * Machines (those that boot and drain included) and requests that wait, at equal distances from the first request.
   */
  samples: { everyS: number; machines: number[]; waiting: number[] };
};

export type SimulationOptions = {
  seed?: number;
  /** Machines that are there, and ready, when the first request comes. */
  startWith?: number;
  /** Machines that there may be; without it, as many as the policy wants. */
  most?: number;
  /** Those that drain included. */
  mostThere?: number;
  /** Whoever waits longer is counted as late. */
  lateAfterS?: number;
  /** Neither `spent` nor `samples` is wanted. */
  isBrief?: boolean;
  /**
   * Asked at some looks with what will have been paid at least and who has been late: true ends the run there, since
   * the rest doesn't matter any more.
   */
  isHopeless?(atLeastS: number, late: number): boolean;
};

export function simulate(requests: Requests, kind: Machines, timed: Timed, options: SimulationOptions = {}): Run {
  return new Simulation(requests, kind, timed, options).run();
}

class Simulation {
  readonly #requests: Requests;
  readonly #kind: Machines;
  readonly #policy: Policy;
  readonly #everyS: number;
  readonly #events = new EventHeap();
  readonly #rented: Rented;
  readonly #line: WaitingLine;
  readonly #startedS: Float64Array;
  /** The machine of each request that runs. */
  readonly #machineOf: Int32Array;
  readonly #run: Run;
  readonly #spent: SpentTime;
  readonly #isBrief: boolean;
  readonly #random: () => number;
  readonly #most: number;
  readonly #mostThere: number;
  readonly #lateAfterS: number;
  readonly #isHopeless: SimulationOptions["isHopeless"];
  /** Work that no attempt has begun. */
  #leftS = 0;
  #nextSampleS: number;
  #nowS: number;
  #nextTickS: number;
  #lastTickS = -Infinity;
  #looks = 0;
  /** What the policy is told at a look: one object for all of them, since there are millions. */
  readonly #fleet: Fleet = { nowS: 0, waiting: 0, oldestWaitS: 0, running: 0, ready: 0, booting: 0 };
  #arrived = 0;
  #finished = 0;
  #running = 0;
  /** Of those, on machines that drain. */
  #finishing = 0;

  constructor(
    requests: Requests,
    kind: Machines,
    { policy, everyS }: Timed,
    {
      seed = 1,
      startWith = 0,
      most = Infinity,
      mostThere = Infinity,
      lateAfterS = Infinity,
      isBrief = false,
      isHopeless,
    }: SimulationOptions,
  ) {
    this.#most = most;
    this.#mostThere = mostThere;
    this.#lateAfterS = lateAfterS;
    this.#isBrief = isBrief;
    this.#isHopeless = isHopeless;
    for (const workS of requests.workS) this.#leftS += workS;
    const { atS } = requests;
    this.#requests = requests;
    this.#kind = kind;
    this.#policy = policy;
    this.#everyS = everyS;
    this.#random = seededRandom(seed);
    this.#rented = new Rented(kind);
    this.#line = new WaitingLine(atS.length);
    this.#startedS = new Float64Array(atS.length);
    this.#machineOf = new Int32Array(atS.length).fill(NOWHERE);
    const fromS = atS[0] ?? 0;
    const everySampleS = ((atS.at(-1) ?? 0) - fromS + 1) / SAMPLES;
    const samples = { everyS: everySampleS, machines: [], waiting: [] };
    const waitsS = new Float64Array(atS.length);
    this.#spent = new SpentTime(kind.slots);
    const spent = this.#spent.of(0);
    this.#run = { waitsS, machineS: 0, spent, mostMachines: 0, lost: 0, late: 0, isCut: false, samples };
    this.#nextSampleS = isBrief ? Infinity : fromS;
    this.#nowS = fromS;
    this.#nextTickS = fromS;
    for (let n = 0; n < startWith; n += 1) this.#mayBeLost(this.#rented.rent(fromS, "ready"));
  }

  run(): Run {
    const { atS } = this.#requests;
    const events = this.#events;
    while (this.#finished < atS.length && !this.#run.isCut) {
      const arrivalS = this.#arrived < atS.length ? (atS[this.#arrived] ?? Infinity) : Infinity;
      const nextS = Math.min(arrivalS, events.nextS, this.#tickS(arrivalS));
      if (nextS >= this.#nextSampleS) this.#sampleUntil(nextS);
      this.#pass(nextS - this.#nowS);
      this.#nowS = nextS;
      if (events.nextS === nextS) this.#happen();
      else if (arrivalS === nextS) this.#arrive();
      else this.#tick();
    }
    this.#rented.endAll(this.#nowS);
    this.#run.machineS = this.#rented.paidS;
    this.#run.spent = this.#spent.of(this.#rented.paidS);
    this.#run.mostMachines = this.#rented.most;
    return this.#run;
  }

  #pass(forS: number): void {
    if (this.#isBrief || forS <= 0) return;
    const { booting, ready, count } = this.#rented;
    const draining = count - booting - ready;
    const [running, finishing, waiting] = [this.#running, this.#finishing, this.#line.size];
    this.#spent.add(forS, { booting, ready, draining, running, finishing, waiting });
  }

  /** While nothing is there, the policy looks again when it said so, or when something comes. */
  #tickS(arrivalS: number): number {
    if (this.#rented.count > 0 || this.#line.size > 0) return this.#nextTickS;
    const wakeS = Math.min(this.#policy.wakeAtS(this.#nowS), arrivalS);
    return Math.max(this.#nextTickS, wakeS);
  }

  #sampleUntil(untilS: number): void {
    const { everyS, machines, waiting } = this.#run.samples;
    const fromS = this.#requests.atS[0] ?? 0;
    while (machines.length < SAMPLES && fromS + machines.length * everyS <= untilS) {
      machines.push(this.#rented.count);
      waiting.push(this.#line.size);
    }
    this.#nextSampleS = machines.length < SAMPLES ? fromS + machines.length * everyS : Infinity;
  }

  #arrive(): void {
    this.#wake();
    this.#policy.arrived(this.#nowS);
    this.#line.push(this.#arrived);
    this.#arrived += 1;
    this.#dispatch();
    if (this.#rented.count === 0) this.#tick();
  }

  #happen(): void {
    this.#events.pop();
    const { kind, id } = this.#events;
    if (kind === FINISHED) this.#finish(id);
    else if (kind === BOOTED) this.#boot(this.#rented.machine(id));
    else this.#lose(this.#rented.machine(id));
    this.#dispatch();
  }

  #finish(request: number): void {
    const workS = this.#requests.workS[request] ?? 0;
    const machineId = this.#machineOf[request] ?? NOWHERE;
    // Else it is the end of an attempt that was lost with its machine.
    const isThisAttempt = Math.abs((this.#startedS[request] ?? 0) + workS - this.#nowS) < 1e-6;
    if (machineId === NOWHERE || !isThisAttempt) return;
    const machine = this.#rented.machine(machineId);
    this.#machineOf[request] = NOWHERE;
    machine.running -= 1;
    this.#running -= 1;
    if (machine.state === "draining") this.#finishing -= 1;
    this.#finished += 1;
    this.#policy.finished(this.#nowS, workS);
    if (machine.state === "draining" && machine.running === 0) this.#rented.end(machine, this.#nowS);
  }

  #boot(machine: Machine): void {
    if (machine.state !== "booting") return;
    this.#rented.become(machine, "ready");
    this.#policy.booted(this.#nowS - machine.rentedS);
  }

  #lose(machine: Machine): void {
    if (machine.state === "gone") return;
    this.#wake();
    this.#run.lost += 1;
    this.#line.putBack(this.#requestsOn(machine));
    this.#running -= machine.running;
    if (machine.state === "draining") this.#finishing -= machine.running;
    machine.running = 0;
    this.#rented.end(machine, this.#nowS);
  }

  /** They run nowhere from now on. */
  #requestsOn(machine: Machine): number[] {
    const requests: number[] = [];
    for (let request = 0; requests.length < machine.running; request += 1) {
      if (this.#machineOf[request] !== machine.id) continue;
      this.#machineOf[request] = NOWHERE;
      this.#leftS += this.#requests.workS[request] ?? 0;
      requests.push(request);
    }
    return requests;
  }

  #dispatch(): void {
    const { slots } = this.#kind;
    while (this.#line.size > 0) {
      const areAllBusy = this.#running - this.#finishing >= this.#rented.ready * slots;
      if (areAllBusy) return;
      const machine = this.#rented.fullestWithSlot();
      if (machine === null) return;
      const request = this.#line.take();
      const waitS = this.#nowS - (this.#requests.atS[request] ?? 0);
      const workS = this.#requests.workS[request] ?? 0;
      if (waitS > this.#lateAfterS && !((this.#run.waitsS[request] ?? 0) > this.#lateAfterS)) this.#run.late += 1;
      this.#run.waitsS[request] = waitS;
      this.#startedS[request] = this.#nowS;
      this.#machineOf[request] = machine.id;
      machine.running += 1;
      this.#running += 1;
      this.#leftS -= workS;
      this.#policy.started(this.#nowS, waitS);
      this.#events.push(this.#nowS + workS, FINISHED, request);
    }
  }

  #tick(): void {
    this.#looks += 1;
    if (this.#looks % HOPE_EVERY === 0) this.#run.isCut = this.#isHopeless?.(this.#atLeastS(), this.#run.late) ?? false;
    const { ready, booting } = this.#rented;
    const { first } = this.#line;
    const fleet = this.#fleet;
    fleet.nowS = this.#nowS;
    fleet.waiting = this.#line.size;
    fleet.oldestWaitS = first === null ? 0 : this.#nowS - (this.#requests.atS[first] ?? 0);
    fleet.running = this.#running;
    fleet.ready = ready;
    fleet.booting = booting;
    const asked = this.#policy.machines(fleet);
    if (!Number.isFinite(asked)) throw new Error(`a policy asked for ${asked} machines`);
    const wanted = Math.min(asked, this.#most);
    const room = this.#mostThere - this.#rented.count;
    for (let more = Math.min(room, wanted - ready - booting); more > 0; more -= 1) this.#order();
    if (wanted < ready + booting) this.#release(ready + booting - wanted);
    this.#lastTickS = this.#nowS;
    this.#nextTickS = this.#nowS + this.#everyS * this.#looksToSkip(wanted);
  }

  /** What will have been paid at the end, if from now on no slot were idle. */
  #atLeastS(): number {
    return this.#rented.usedS(this.#nowS) + this.#leftS / this.#kind.slots;
  }

  /** How many looks it takes until one may change something, if nothing happens meanwhile. */
  #looksToSkip(wanted: number): number {
    const { ready, booting, count } = this.#rented;
    const isIdle = this.#line.size === 0 && this.#running === 0 && booting === 0 && count === ready && wanted <= ready;
    if (!isIdle) return 1;
    const steadyS = (this.#policy.steadyUntilS?.(this.#nowS) ?? 0) - this.#nowS;
    const paidS = wanted < ready ? this.#rented.firstPaidForS(this.#nowS) - 2 * this.#everyS : Infinity;
    const leftS = Math.min(steadyS, paidS, MAX_SKIPPED_S);
    return Math.max(1, Math.floor(leftS / this.#everyS));
  }

  /** Something happened while looks were skipped: the next is at once, in step with those before. */
  #wake(): void {
    if (this.#nextTickS - this.#nowS <= this.#everyS) return;
    const looks = Math.ceil((this.#nowS - this.#lastTickS) / this.#everyS);
    this.#nextTickS = this.#lastTickS + Math.max(1, looks) * this.#everyS;
  }

  #order(): void {
    const machine = this.#rented.rent(this.#nowS, "booting");
    this.#events.push(this.#nowS + this.#kind.bootS, BOOTED, machine.id);
    this.#mayBeLost(machine);
  }

  #mayBeLost({ id, rentedS }: Machine): void {
    const { lossPerHour } = this.#kind;
    if (lossPerHour > 0) this.#events.push(rentedS + (-Math.log(1 - this.#random()) * 3600) / lossPerHour, LOST, id);
  }

  #release(count: number): void {
    const { usesPaidTime, meanWorkS = 0 } = this.#policy;
    // One more look comes before the increment is over.
    const marginS = 2 * this.#everyS;
    const may = (machine: Machine): boolean =>
      !usesPaidTime ||
      this.#rented.paidForS(machine, this.#nowS) <= marginS + leavesAheadS(machine.running, meanWorkS, this.#kind);
    for (const machine of this.#rented.leaving(count, may)) {
      if (machine.running === 0) this.#rented.end(machine, this.#nowS);
      else {
        this.#rented.become(machine, "draining");
        this.#finishing += machine.running;
      }
    }
  }
}
