/**
 * An object whose stored schema is numbered (`object-schema.ts`): brought to its code's schema before it is made, and
 * refused as a whole while only a later release can read what it stored, as after a deployment that was taken back.
 * Every call then fails with the reason, and nothing is written but the next alarm: an object that misses its alarm six
 * times over would have none any more when its release is back.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "./env.ts";
import { retryDelayMs } from "./object-calls.ts";
import { isEmpty, NewerSchemaError, nextPage, openSchema } from "./object-schema.ts";
import type { Schema } from "./object-schema.ts";
import { objectSql } from "./shard/object-sql.ts";
import { log, reasonOf } from "./telemetry/log.ts";

/** How soon an alarm looks again whether the release is back. */
const LOOK_AGAIN_MS = 60_000;
/** Calls get their turn between two pages. */
const PAGE_PAUSE_MS = 20;
/** "Try again later": https://www.iana.org/assignments/websocket/websocket.xhtml */
const CLOSE_TRY_LATER = 1013;

type ObjectClass = abstract new (ctx: DurableObjectState, env: Env) => DurableObject<Env>;

/** The class, of objects with that schema. What has stored nothing yet makes its tables when it stores something. */
export function versioned<Class extends ObjectClass>(object: Class, schema: Schema): Class {
  return new Proxy(object, {
    construct(target, [ctx, env]: [DurableObjectState, Env], made): DurableObject<Env> {
      try {
        migrate(ctx.storage, schema);
      } catch (error) {
        if (!(error instanceof NewerSchemaError)) throw error;
        log.error("newer_schema", { object: schema.name, reason: error.message });
        return refused(target, ctx, env, error);
      }
      return Reflect.construct(target, [ctx, env], made) as DurableObject<Env>;
    },
  });
}

function migrate(storage: DurableObjectStorage, schema: Schema): void {
  const sql = objectSql(storage);
  if (isEmpty(sql)) return;
  const transaction = <Result>(run: () => Result): Result => storage.transactionSync(run);
  let failures = 0;
  const goOn = (): void => {
    try {
      if (!nextPage(sql, schema, transaction)) return;
      failures = 0;
      setTimeout(goOn, PAGE_PAUSE_MS);
    } catch (error) {
      failures += 1;
      log.error("schema_page_failed", { object: schema.name, failures, reason: reasonOf(error) });
      setTimeout(goOn, retryDelayMs(failures, error));
    }
  };
  if (openSchema(sql, schema, transaction)) setTimeout(goOn, PAGE_PAUSE_MS);
}

/** In the object's place: has its methods, each of which says why it can't be called. */
function refused(
  object: ObjectClass,
  ctx: DurableObjectState,
  env: Env,
  problem: NewerSchemaError,
): DurableObject<Env> {
  class Refused extends DurableObject<Env> {
    override async alarm(): Promise<void> {
      await this.ctx.storage.setAlarm(Date.now() + LOOK_AGAIN_MS);
    }
    override webSocketMessage(socket: WebSocket): void {
      socket.close(CLOSE_TRY_LATER, "the edge is being upgraded");
    }
    override webSocketClose(): void {}
    override webSocketError(): void {}
  }
  const refuse = (): never => {
    throw problem;
  };
  for (let at: unknown = object.prototype; at !== DurableObject.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      if (!(name in Refused.prototype)) Object.defineProperty(Refused.prototype, name, { value: refuse });
    }
  }
  return new Refused(ctx, env);
}
