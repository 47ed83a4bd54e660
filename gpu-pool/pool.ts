/**
 * The pool: wires intake, scheduling, runtime and delivery together. It owns what crosses them: claims, journal, drain.
 *
 *   starting ── channel opened once ──▶ serving ── drain() ──▶ draining ──▶ stopped
 */
import type { EdgeMessage, PoolMessage } from "../src/contract/channel.ts";
import { SESSION_HEADER } from "../src/contract/claim.ts";
import type { Grant } from "../src/contract/claim.ts";
import { PushedModels } from "./bundles/pushed-models.ts";
import { Claims } from "./claims.ts";
import type { EventCarrier, Welcome } from "./delivery/carrier.ts";
import { Delivery } from "./delivery/delivery.ts";
import { openJournal } from "./delivery/journal.ts";
import type { Journal } from "./delivery/journal.ts";
import { EventReporter } from "./delivery/reporter.ts";
import { createSpool } from "./delivery/spool.ts";
import type { Spool } from "./delivery/spool.ts";
import { createUploads } from "./delivery/uploads.ts";
import { createControlChannel } from "./intake/control-channel.ts";
import type { ControlChannel } from "./intake/control-channel.ts";
import { Drain } from "./drain.ts";
import { HandBacks } from "./hand-backs.ts";
import { helloOf, soonOnce } from "./hello.ts";
import type { EnvironmentLayers } from "./layers/environment-layers.ts";
import { openLayers } from "./layers/open-layers.ts";
import { createIntakes } from "./intakes.ts";
import type { Intakes } from "./intakes.ts";
import { turnClock } from "./metering/ledger-clock.ts";
import { createMeter } from "./metering/meter.ts";
import type { Meter } from "./metering/meter.ts";
import { openUsage } from "./metering/open-usage.ts";
import type { UsageSender } from "./metering/usage-sender.ts";
import { ModelSet } from "./model-set.ts";
import { RoomTeller } from "./room-teller.ts";
import { createFleet } from "./runners.ts";
import type { ModelRunner } from "./runtime/model-runner.ts";
import { createLogProblems } from "./log-problems.ts";
import { ConfigurationWatch } from "./configurations.ts";
import type { PoolOptions } from "./pool-options.ts";
import { Pressure } from "./pressure.ts";
import { Suspects } from "./suspects.ts";
import { createStateLines } from "./telemetry/state-lines.ts";
import type { StateLines } from "./telemetry/state-lines.ts";
import { createHttpClient } from "./transport/http-client.ts";
import type { HttpClient } from "./transport/http-client.ts";
import { Upkeep } from "./upkeep.ts";

/** Intake waits so long for the first open channel; after that it polls without one. */
const CHANNEL_WAIT_MS = 5000;
const FIRST_LEASE_MS = 15_000;
const USAGE_MS = 1500;

export class Pool {
  readonly session = `s${crypto.randomUUID().replaceAll("-", "")}`;
  readonly models: ModelSet;
  readonly intakes: Intakes;
  readonly pressure: Pressure;
  readonly meter: Meter;
  readonly layers: EnvironmentLayers;
  readonly #options: PoolOptions;
  readonly #previous: string | null;
  readonly #http: HttpClient;
  readonly #files: HttpClient;
  readonly #journal: Journal;
  readonly #spool: Spool;
  readonly #carrier: EventCarrier;
  readonly #delivery: Delivery;
  readonly #reporter: EventReporter;
  readonly #lines: StateLines;
  readonly #claims: Claims;
  readonly #suspects: Suspects;
  readonly #rooms: RoomTeller;
  readonly #pushed: PushedModels;
  readonly #handBacks: HandBacks;
  readonly #usage: UsageSender;
  readonly #upkeep: Upkeep;
  readonly #configurations: ConfigurationWatch;
  readonly #drain: Drain;
  readonly #helloAgain: () => void;
  #channel: ControlChannel | null = null;
  #wasOpen = false;
  #wasWelcome = false;

  constructor(options: PoolOptions) {
    const { settings, state, clock, metrics, log } = options;
    this.#options = options;
    this.#previous = state.succeed(this.session);
    this.#lines = createStateLines(log, settings.url.origin);
    const headers = { authorization: `Bearer ${settings.token}`, [SESSION_HEADER]: this.session };
    this.#http = createHttpClient(settings.url, headers);
    // Their own connections: files that are many or slow hold up no event and no claim.
    this.#files = createHttpClient(settings.url, headers);
    this.#journal = openJournal(state.journalPath, (problem) => log.warn({ problem }, "the journal can't be written"));
    this.#spool = createSpool(state.spoolDir);
    this.meter = createMeter(turnClock(clock));
    this.meter.devices(options.devices.devices);
    this.#helloAgain = soonOnce(clock, () => {
      if (!this.draining) this.#channel?.send(this.#hello());
    });
    const meter = this.meter.attempts;
    this.#claims = new Claims({ clock, metrics, journal: this.#journal, meter, draining: () => this.draining }, () => ({
      models: this.models,
      delivery: this.#delivery,
      suspects: this.#suspects,
      rooms: this.#rooms,
      handBacks: this.#handBacks,
    }));
    this.#carrier = options.wayHome({
      session: this.session,
      http: this.#http,
      clock,
      channel: () => this.#channel,
      onCancel: (claims) => this.#claims.cancel(claims),
    });
    this.#delivery = new Delivery({
      carrier: this.#carrier,
      session: this.session,
      clock,
      spool: this.#spool,
      onVerdict: (ref, verdict, attempt) => this.#claims.verdict(ref, verdict, attempt),
      onCancel: (claims) => this.#claims.cancel(claims),
      onClosing: (token) => this.#suspects.ended(token),
      onEnded: (tokens) => this.#claims.ended(tokens),
      onState: (problem) => this.#lines.events(problem),
      onRefused: (why) => log.error({ why }, "the edge refused a result as wrong; the prediction fails"),
      onBatch: (events) => metrics.sent(events),
    });
    this.pressure = new Pressure({
      clock,
      settings,
      folder: state.scratchDir,
      onChange: () => this.#pressureChanged(),
      log: (line) => log.info(line),
    });
    this.#reporter = new EventReporter(this.#delivery, createUploads(this.#files), this.pressure.uploads, meter);
    this.#handBacks = new HandBacks({
      claims: this.#claims.held,
      endedClaims: this.#claims.over,
      delivery: this.#delivery,
      reporter: this.#reporter,
      settled: async () => this.intakes.settled(),
    });
    this.#usage = openUsage(options, this.session, this.#http, this.meter, () => this.#delivery.reports);
    this.#suspects = new Suspects(this.#reporter, (prediction) => this.#rooms.ended(prediction));
    this.layers = openLayers(this, this.#files, log, settings);
    const fleet = createFleet(
      {
        ...options,
        http: this.#files,
        pressure: this.pressure,
        layers: this.layers,
        ...{ report: this.#reporter, waiting: this.#journal, meter: this.meter },
        onNews: () => this.#helloAgain(),
        onRoom: () => this.#roomChanged(),
        onEnded: (prediction) => this.#rooms.ended(prediction),
        startQuota: (runner) => this.#rooms.startQuota(runner),
        onBroken: (model, problem) => void this.#pushed.broken(model, problem),
      },
      options.models,
    );
    this.models = new ModelSet({
      fleet,
      clock,
      suspectsOf: (runner) => this.#suspects.waitingFor(runner),
      releaseSuspects: (runner) => this.#suspects.releaseOf(runner),
      onChange: () => this.#modelsChanged(),
    });
    this.#rooms = new RoomTeller({
      clock,
      models: this.models,
      aheadBatches: settings["ahead-batches"],
      suspectsOf: (runner) => this.#suspects.waitingFor(runner),
      draining: () => this.draining,
      send: (message) => this.#channel?.send(message) ?? false,
    });
    this.models.begin(options.models);
    this.#pushed = new PushedModels({
      http: this.#files,
      clock,
      log,
      models: this.models,
      settings,
      poolId: state.id,
      isolation: options.isolation,
      onUsesGpu: async () => options.onUsesGpu?.(),
      isOpen: () => this.channelOpen,
    });
    this.#configurations = new ConfigurationWatch({
      http: this.#http,
      stateDir: settings["state-dir"],
      clock,
      log,
      runners: () => this.models.offered,
      said: options.configurations,
    });
    this.#upkeep = new Upkeep({
      clock,
      runners: () => this.models.runners,
      idleStopMs: settings["idle-stop-ms"],
      held: () => this.#held(),
      leaseMs: () => this.#channel?.leaseMs ?? FIRST_LEASE_MS,
      onBeat: () => {
        // While the channel is down, requests hold the lease.
        if (!this.channelOpen && this.#wasOpen && !this.draining) this.#delivery.heartbeat();
      },
      onHousekeeping: () => this.#claims.over.forgetOld(),
    });
    this.intakes = createIntakes({
      jobLogs: options.jobLogs,
      session: this.session,
      lanes: () => this.models.lanes,
      http: this.#http,
      clock,
      log,
      metrics,
      rooms: (lane) => this.#rooms.roomsOf(lane),
      channelOpen: () => this.channelOpen,
      onPoll: (lane, rooms) => this.#rooms.statements.polled(lane, rooms),
      onGrants: (grants) => this.#grants(grants),
      onState: (problem) => this.#lines.log(problem),
      problems: createLogProblems({ http: this.#http, clock, pool: state.name, lanes: () => this.models.lanes }),
    });
    this.#drain = new Drain({
      clock,
      log,
      runners: () => this.models.runners,
      intakes: () => this.intakes,
      suspects: () => this.#suspects,
      delivery: this.#delivery,
      reporter: this.#reporter,
      held: () => this.#held(),
      onBegin: () => {
        this.meter.instances.drain();
        void this.#usage.close();
        this.#pushed.stop();
        this.layers.stop();
        this.#channel?.send({ type: "draining" });
      },
      tellUsage: async () => this.#usage.end(USAGE_MS),
      onOver: () => this.#close(),
    });
  }

  /** Those that serve, and those that leave. */
  get runners(): readonly ModelRunner[] {
    return this.models.runners;
  }

  get draining(): boolean {
    return this.#drain.isOn;
  }

  get channelOpen(): boolean {
    return this.#channel?.open ?? false;
  }

  get undelivered(): number {
    return this.#delivery.pending;
  }

  get spooled(): number {
    return this.#spool.size;
  }

  /** Sends what an earlier life left, opens the channel, and begins intake. */
  start(): void {
    const { settings, clock, log } = this.#options;
    this.#handBacks.sendLeftovers(this.#journal.left, log);
    for (const report of this.#usage.restore()) this.#delivery.report(report);
    this.#usage.start();
    if (settings.warm) for (const runner of this.runners) runner.warm();
    this.#channel = createControlChannel({
      url: settings.url,
      token: settings.token,
      session: this.session,
      clock,
      hello: () => this.#hello(),
      onOpen: () => this.#opened(),
      onMessage: (message) => this.#message(message),
      onDown: (why) => this.#channelDown(why),
      onRefused: (why) => {
        this.#channelDown(why);
        this.#options.onRefused(why, !this.#wasOpen);
      },
    });
    clock.after(CHANNEL_WAIT_MS, () => this.#startIntake());
    this.#upkeep.start();
    this.pressure.disk.start();
  }

  /**
   * Stops intake, hands back what waits, finishes what runs within this time, delivers, and ends the processes. Called
   * again it leaves less time, never more.
   */
  async drain(withinMs = this.#options.settings["drain-timeout-ms"], why = "told to"): Promise<void> {
    return this.#drain.begin(withinMs, why);
  }

  /** The last words, and everything that is open. */
  #close(): void {
    if (this.channelOpen) this.#rooms.statements.tellAll();
    this.#channel?.close();
    this.#configurations.stop();
    this.#journal.close();
    void this.#pushed.close();
    this.pressure.disk.stop();
    for (const http of [this.#http, this.#files]) http.close();
    this.#options.state.release();
  }

  #pressureChanged(): void {
    this.pressure.tell(this.#options.log);
    for (const runner of this.runners) runner.pressureChanged();
  }

  /** Ends all model processes at once. */
  kill(): void {
    for (const runner of this.runners) runner.instances.kill();
  }

  #hello(): PoolMessage {
    const options = { ...this.#options, meter: this.meter };
    return helloOf(this.session, this.#previous, options, this.models, this.#carrier);
  }

  /** Other models are offered than before: the edge hears of it, and of what has no room any more. */
  #modelsChanged(): void {
    this.#configurations.apply();
    for (const lane of this.models.lanes) this.intakes.serve(lane);
    this.#helloAgain();
    if (this.channelOpen) this.#rooms.statements.tellAll();
    this.intakes.roomChanged();
  }

  #opened(): void {
    this.#wasOpen = true;
    this.#lines.channel(null);
    this.#carrier.channelOpened();
    this.#delivery.retryNow();
    this.#usage.retryNow();
    this.#rooms.statements.tellAll();
    this.#startIntake();
    this.intakes.channelChanged();
    this.#pushed.ask();
    this.#configurations.ask();
  }

  #channelDown(why: string): void {
    this.#rooms.statements.closed();
    this.#lines.channel(why);
    this.#carrier.channelDown();
    this.intakes.channelChanged();
  }

  #roomChanged(): void {
    this.#rooms.statements.changed();
    this.intakes.roomChanged();
  }

  #startIntake(): void {
    if (!this.draining) this.intakes.start();
  }

  #message(message: EdgeMessage): void {
    if (message.type === "welcome") this.#welcomed(message);
    else if (message.type === "settled") this.#carrier.settled(message);
    else if (message.type === "log") this.intakes.follow(message.log);
    else if (message.type === "work") this.intakes.work(message.lane);
    else if (message.type === "grants") this.#grants(message.grants);
    else if (message.type === "tell") this.#rooms.statements.tellAll();
    else if (message.type === "models") this.#pushed.ask();
    else if (message.type === "configurations") this.#configurations.ask();
    else if (message.type === "leave") this.#options.onDrain?.(message.withinMs);
    else if (message.type === "cancel") this.#claims.cancel(message.claims);
    else if (message.type === "probe") void this.#handBacks.answerProbe(message.claims);
  }

  #welcomed(welcome: Welcome): void {
    const misfit = this.#carrier.misfit(welcome);
    this.#lines.models(welcome);
    if (misfit?.final === true) this.#options.onRefused(misfit.problem, !this.#wasWelcome);
    else {
      this.#wasWelcome = true;
      this.#options.onWelcome?.();
    }
    if (misfit !== null) this.#lines.events(misfit.problem);
    if (welcome.log !== undefined) this.intakes.follow(welcome.log);
    // The lanes are the session's only now.
    this.#rooms.statements.tellAll();
  }

  #grants(grants: Grant[]): void {
    this.#claims.granted(grants);
    this.#upkeep.sweepSoon();
  }

  #held(): number {
    return this.runners.reduce((sum, { held }) => sum + held, this.#suspects.waiting);
  }
}
