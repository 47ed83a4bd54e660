/**
 * The Durable Object of one pool session, from connect to drain: its control channel, its lease, its capacity. The
 * socket hibernates, and the pool's pings are answered by the platform: an idle pool holds no object awake. What
 * remains is one row.
 */
import { DurableObject } from "cloudflare:workers";
import type { ClaimRef, DesiredLog, EdgeMessage, ModelRefusal, Nudge, PoolMessage } from "../contract/channel.ts";
import { commonProtocol, PROTOCOL } from "../contract/channel.ts";
import { SESSION_HEADER } from "../contract/claim.ts";
import type { Grant } from "../contract/claim.ts";
import type { EventsReply, EventsRequest } from "../contract/event.ts";
import { firstKind } from "../contract/usage.ts";
import type { Env } from "../env.ts";
import { logToRead } from "../log/current-log.ts";
import { callObject, objectNamed } from "../object-calls.ts";
import { registerDevices } from "../registry/devices.ts";
import { registerManifests } from "../registry/registration.ts";
import { notePool, notePoolState } from "../registry/pools.ts";
import { isPoolTokenValid } from "../registry/pool-tokens.ts";
import { defaultRules } from "../shard/rules.ts";
import { log, reasonOf } from "../telemetry/log.ts";
import { TELL_AGAIN_MS, tellScaler } from "./machine-news.ts";
import { Parking } from "./parking.ts";
import { messagesOf, parseMessage } from "./messages.ts";
import { createProbes } from "./probes.ts";
import { wereTold } from "./session-end.ts";
import { numberSession } from "./session-schema.ts";
import { closeCodes, isHeard, lastHeardAt, noteHello, openSockets } from "./session-sockets.ts";
import { createStatements } from "./statements.ts";
import { nobody, PoolIdentitySchema } from "./types.ts";
import type { Known, Lease, PoolIdentity, RemoteLane } from "./types.ts";

const { leaseMs } = defaultRules;
/** How soon shards ask again about a session that isn't heard on its channel. */
const UNHEARD_CHECK_MS = 1000;
/**
 * Claims to stop that are kept for a pool that can't be told now; beyond that it learns of them with its next event.
 */
const MAX_STOPS = 1000;

type RoomMessage = Extract<PoolMessage, { type: "room" }>;
type Hello = Extract<PoolMessage, { type: "hello" }>;

/** Header by which the authenticated identity reaches the object. */
export const IDENTITY_HEADER = "edgeplane-pool-identity";

export abstract class PoolSession extends DurableObject<Env> {
  readonly #parking: Parking;
  readonly #probes = createProbes({ now: () => Date.now(), keptMs: leaseMs });
  readonly #statements = createStatements({
    tell: (lane, report) => this.#lane(lane).tell(lane, report),
    isOpen: () => this.#isConnected(),
  });
  #known: Known | null;
  /** The kind of its first device, also when its lease is over. */
  #device: string | undefined;
  #isNumbered = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#parking = new Parking({
      env,
      receive: (request) => this.receive(request, this.#known?.identity ?? nobody),
      tell: (n, outcome) => this.#isConnected() && this.#send({ type: "settled", n, outcome }),
    });
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    this.#known = ctx.storage.kv.get<Known>("known") ?? null;
    if (this.#known?.kv !== undefined) this.#parking.open(this.#known.session, this.#known.kv);
    if (this.#known?.connected === true && ctx.getWebSockets().length === 0) {
      // Killed with the machine, without having seen the socket close: the pool gets a lease to come back in.
      this.#remember({ ...this.#known, connected: false, seenAt: Date.now() });
      void ctx.storage.setAlarm(Date.now() + leaseMs);
    }
  }

  /** Screens and delivers what the pool parked. Throws an `EdgeplaneError` as `/pool/v1/events` would answer. */
  protected abstract receive(request: EventsRequest, pool: PoolIdentity): Promise<EventsReply>;

  /** Opens the control channel. The route has authenticated the token and says who it is. */
  override fetch(request: Request): Response {
    const session = request.headers.get(SESSION_HEADER) ?? "";
    const identity = PoolIdentitySchema.parse(JSON.parse(request.headers.get(IDENTITY_HEADER) ?? "{}"));
    const owner = this.#known?.identity.poolTokenId ?? identity.poolTokenId;
    if (owner !== identity.poolTokenId) {
      return Response.json({ error: "this session belongs to another pool token", status: 403 }, { status: 403 });
    }
    const { 0: client, 1: server } = new WebSocketPair();
    for (const socket of this.ctx.getWebSockets())
      socket.close(closeCodes.replaced, "another connection of this session");
    this.ctx.acceptWebSocket(server);
    const before = this.#known ?? { lanes: [] };
    this.#remember({ ...before, session, identity, seenAt: Date.now(), connected: true });
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const message = parseMessage(data);
    if (message === null) return;
    if (typeof message === "string" || this.#known === null) {
      socket.close(closeCodes.badMessage, typeof message === "string" ? message : "say hello first");
      return;
    }
    if (message.type === "draining") return this.#drains(this.#known);
    if (message.type === "parked") return this.#parking.noticed(message.n);
    const lanes = message.type === "room" ? message.lanes.map(({ lane }) => lane) : message.lanes;
    const outside = lanes.find((lane) => this.#known?.identity.lanes.includes(lane) !== true);
    if (outside !== undefined) {
      socket.close(closeCodes.forbidden, `the pool token has no right to the lane ${outside}`);
      return;
    }
    if (message.type === "room") await this.#passOn(message, this.#known.session);
    else await this.#hello(socket, message, this.#known);
  }

  override async webSocketClose(_socket: WebSocket, code: number): Promise<void> {
    if (this.#isConnected()) return;
    await this.ctx.storage.setAlarm(Date.now() + leaseMs);
    if (this.#known === null) return;
    if (this.#known.isLeaving === true && code === closeCodes.left) return this.#left();
    const known = { ...this.#known, connected: false, seenAt: Date.now() };
    this.#remember(known);
    // Grants have no way to it; back again, the pool states its room anew.
    await this.#leaveLanes(known);
    if (!this.#isConnected()) await notePoolState(this.env, known.session, "away");
  }

  /** The pool has drained, and took its leave: nothing of it is waited for. */
  async #left(): Promise<void> {
    await this.#parking.look(true);
    if (!this.#isConnected()) await this.#forget();
  }

  async #drains(known: Known): Promise<void> {
    this.#remember({ ...known, isLeaving: true });
    await this.#leaveLanes(known);
    if (this.#known !== null) await notePoolState(this.env, known.session, "draining");
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.webSocketClose(socket, closeCodes.broken);
  }

  /**
   * The session's lease. What is claimed under it is named to the pool, which hands back what it doesn't know. A lease
   * that is over ends the session, unless the asker is patient: it was away, and the pool may be just coming back. So
   * does the end of the pool's token: pings keep a lease, and nobody asks them for one.
   */
  async check(claims: ClaimRef[], isPatient = false): Promise<Lease> {
    await this.look();
    if (!(await this.#isTrusted())) await this.#forget();
    const lease = this.#lease();
    if (!lease.alive && !isPatient) await this.#forget();
    else if (lease.alive && claims.length > 0) this.#probe(claims);
    // Unheard, the probe may have reached nobody, and a successor may end the lease at any moment.
    return isHeard(this.ctx) ? lease : { ...lease, remainingMs: Math.min(lease.remainingMs, UNHEARD_CHECK_MS) };
  }

  /**
   * The pool lives on as another session, of the same token: this one is over. Its last results may lie in Redis still.
   */
  async supersede(poolTokenId: string): Promise<void> {
    if (this.#known?.identity.poolTokenId !== poolTokenId) return;
    await this.#parking.look(true);
    await this.#forget();
  }

  /** The pool was heard of through its events. False, and nothing else, when the session is another token's. */
  touch(poolTokenId: string): boolean {
    if (this.#known === null) return true;
    if (this.#known.identity.poolTokenId !== poolTokenId) return false;
    if (Date.now() - this.#known.seenAt > leaseMs / 4) this.#touch(Date.now());
    return true;
  }

  /** Looks for events that the pool parked, unless its channel is alive: then it says so itself. */
  async look(): Promise<void> {
    if (this.#known?.kv === undefined || isHeard(this.ctx)) return;
    const aliveMs = await this.#parking.look();
    const seenAt = Date.now() - leaseMs + Math.min(aliveMs, leaseMs);
    if (aliveMs > 0 && seenAt > (this.#known?.seenAt ?? Infinity) + leaseMs / 4) this.#touch(seenAt);
  }

  /** The pool hears of it now, or when it is back. */
  async stop(claims: ClaimRef[]): Promise<void> {
    if (this.#isConnected()) this.#send({ type: "cancel", claims });
    if (isHeard(this.ctx)) return;
    if (this.#known !== null) {
      this.#remember({ ...this.#known, stops: [...(this.#known.stops ?? []), ...claims].slice(-MAX_STOPS) });
    }
    if (!this.#isConnected()) await this.#parking.stop(claims);
  }

  /** Something changed that the pool may ask for. One that isn't connected asks when it is back. */
  nudge(what: Nudge): void {
    if (this.#known?.hears?.includes(what) === true) this.#send({ type: what });
  }

  /** The machine is to be returned: the pool ends, what runs has `withinMs` to finish. */
  async drain(withinMs: number): Promise<void> {
    if (this.#known === null) return;
    if (this.#known.hears?.includes("leave") === true) this.#send({ type: "leave", withinMs });
    else await this.#leaveLanes(this.#known);
  }

  /** The lanes produce to another log from now on. */
  async moveLog(desired: DesiredLog): Promise<void> {
    if (await this.#isTrusted()) this.#send({ type: "log", log: desired });
  }

  /**
   * Hands grants to the pool. False when they did not leave: nothing of them can have run. That they left is no sign
   * that they arrived: whoever hears nothing of them asks by `check`.
   */
  grant(grants: Grant[]): boolean {
    const sockets = openSockets(this.ctx);
    if (sockets.length === 0) return false;
    for (const part of messagesOf(grants)) for (const socket of sockets) socket.send(part);
    return true;
  }

  /** There is work on the lane that this pool has room for. A session that is gone says so. */
  async work(lane: string): Promise<void> {
    if (this.#known === null) await this.#deny(lane);
    else this.#send({ type: "work", lane });
  }

  /** The lane doesn't know what the pool has room for. */
  async askForRoom(lane: string): Promise<void> {
    if (this.#known === null) await this.#deny(lane);
    else this.#send({ type: "tell" });
  }

  /** Re-arms first: a session whose end could not be told everywhere tells it again. */
  override async alarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + leaseMs);
    try {
      await this.look();
      const lease = this.#lease();
      if (!lease.alive) await this.#forget();
      else if (this.#isConnected()) {
        await this.#tellScaler();
        if (this.#known?.untoldDevices === undefined && this.#isConnected()) await this.ctx.storage.deleteAlarm();
      } else await this.ctx.storage.setAlarm(Date.now() + lease.remainingMs);
    } catch (error) {
      log.warn("session_end_deferred", { reason: reasonOf(error) });
    }
  }

  async #hello(socket: WebSocket, hello: Hello, known: Known): Promise<void> {
    if (!(await this.#isTrusted())) return socket.close(closeCodes.forbidden, "the pool token was revoked");
    const { kv, lanes, hears = [], meteredMs = 0 } = hello;
    if (this.#known === null) return; // It is over meanwhile.
    this.#device = firstKind(hello.devices);
    noteHello(socket);
    const now = { seenAt: Date.now(), isLeaving: false, meteredFromMs: Date.now() - meteredMs };
    this.#remember({ ...this.#known, ...now, lanes, hears, device: this.#device, ...(kv === undefined ? {} : { kv }) });
    if (kv !== undefined) this.#parking.open(known.session, kv);
    await notePool(this.env, known.identity.poolTokenId, hello);
    await this.#tellScaler(hello.devices.length);
    const registersModels = known.identity.mayRegisterModels;
    const refusedModels = registersModels ? await this.#register(known.identity, hello) : [];
    if (registersModels) await registerDevices(this.env, hello.devices);
    if (hello.previous !== undefined && hello.previous !== known.session) {
      const { previous } = hello;
      // Else its lease runs out by itself.
      await wereTold(callObject(() => objectNamed(this.env.POOL, previous).supersede(known.identity.poolTokenId)));
    }
    const eventsOpen = this.env.DELIVERY !== "kv";
    const parked = kv === undefined ? {} : { kv: await this.#parking.check(kv) };
    const welcome = {
      type: "welcome",
      protocol: commonProtocol(hello) ?? PROTOCOL,
      hears: [],
      leaseMs,
      eventsOpen,
      registersModels,
      refusedModels,
      ...parked,
      ...(await logToRead(this.env)),
    } satisfies EdgeMessage;
    if (socket.readyState !== WebSocket.OPEN) return; // It was closed meanwhile.
    socket.send(JSON.stringify(welcome));
    this.#tellStops();
    for (const claims of this.#probes.lately()) this.#send({ type: "probe", claims });
  }

  /** That the pool has come, with so many devices: again and again until it is taken. */
  async #tellScaler(devices = this.#known?.untoldDevices): Promise<void> {
    if (devices === undefined || this.#known === null) return;
    const isTold = await tellScaler(this.env, this.#known, "connected", devices);
    // It was forgotten meanwhile.
    if (!this.#isBack()) return;
    const untoldDevices = isTold ? undefined : devices;
    if (this.#known?.untoldDevices !== untoldDevices) this.#remember({ ...this.#known, untoldDevices });
    if (!isTold) await this.ctx.storage.setAlarm(Date.now() + TELL_AGAIN_MS);
  }

  #register(identity: PoolIdentity, { models, isolation }: Hello): Promise<ModelRefusal[]> {
    return registerManifests(this.env, isolation === undefined ? identity : { ...identity, isolation }, models);
  }

  #probe(claims: ClaimRef[]): void {
    this.#probes.sent(claims);
    this.#send({ type: "probe", claims });
  }

  #tellStops(): void {
    if (this.#known === null) return;
    const { stops = [], ...known } = this.#known;
    if (stops.length === 0) return;
    this.#send({ type: "cancel", claims: stops });
    this.#remember(known);
  }

  /** The token was valid when the channel was opened, and may have been revoked since. */
  async #isTrusted(): Promise<boolean> {
    return this.#known === null || isPoolTokenValid(this.env, this.#known.identity.poolTokenId);
  }

  async #passOn({ n, full, lanes }: RoomMessage, session: string): Promise<void> {
    await Promise.all(lanes.map(({ lane, ...room }) => this.#statements.pass(lane, { ...room, session, n, full })));
  }

  async #leaveLanes({ session, lanes }: Pick<Known, "session" | "lanes">): Promise<void> {
    await Promise.all(lanes.map((lane) => this.#lane(lane).gone(lane, session)));
  }

  async #deny(lane: string): Promise<void> {
    const { name } = this.ctx.id;
    if (name !== undefined) await this.#leaveLanes({ session: name, lanes: [lane] });
  }

  #lane(lane: string): RemoteLane {
    const stub: unknown = objectNamed(this.env.LANE, lane);
    return stub as RemoteLane;
  }

  #isConnected(): boolean {
    return openSockets(this.ctx).length > 0;
  }

  #lease(): Lease {
    const device = this.#known?.device ?? this.#device;
    const kind = device === undefined ? {} : { device };
    if (this.#known === null) return { alive: false, remainingMs: 0, ...kind };
    const seenAt = Math.max(this.#known.seenAt, lastHeardAt(this.ctx));
    const remainingMs = seenAt + leaseMs - Date.now();
    return { alive: remainingMs > 0, remainingMs: Math.max(0, remainingMs), ...kind };
  }

  async #forget(): Promise<void> {
    // What is stored stays until all have been told, so that it can be told again.
    const known = this.#known ?? this.ctx.storage.kv.get<Known>("known") ?? null;
    this.#known = null;
    this.#parking.close();
    for (const socket of this.ctx.getWebSockets()) socket.close(closeCodes.replaced, "the lease ran out");
    if (known !== null && !(await wereTold(this.#leaveLanes(known))))
      return this.ctx.storage.setAlarm(Date.now() + leaseMs);
    if (this.#isBack()) return;
    if (known !== null) {
      await notePoolState(this.env, known.session, "ended");
      const isTold = await tellScaler(this.env, known, "ended");
      // Else the machine would be taken for one that works, for good.
      if (!isTold) return this.ctx.storage.setAlarm(Date.now() + leaseMs);
    }
    if (this.#isBack()) return;
    this.#isNumbered = false;
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  /** Whether the pool has connected again while its end was being told. */
  #isBack(): boolean {
    return this.#known !== null;
  }

  #remember(known: Known): void {
    this.#known = known;
    if (!this.#isNumbered) numberSession(this.ctx.storage);
    this.#isNumbered = true;
    this.ctx.storage.kv.put("known", known);
  }

  #touch(now: number): void {
    if (this.#known !== null) this.#remember({ ...this.#known, seenAt: now });
  }

  /** Always true, so that callers can say that it was sent. */
  #send(message: EdgeMessage): true {
    const text = JSON.stringify(message);
    for (const socket of openSockets(this.ctx)) socket.send(text);
    return true;
  }
}
