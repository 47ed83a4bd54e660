/** The bindings, with every call through them counted: by kind, not by which object or row. */
import type { Env } from "../../src/env.ts";

type Callable = (...args: unknown[]) => unknown;

/** Wraps an environment; `calls` counts what is asked of objects, database and bucket from then on. */
export function createCountedEnv(env: Env): { env: Env; calls: Record<string, number> } {
  const calls: Record<string, number> = {};
  const count = (name: string): void => {
    calls[name] = (calls[name] ?? 0) + 1;
  };
  const counted: Record<string, unknown> = { ...env };
  for (const name of ["SHARD", "LANE", "LOG", "POOL", "WEBHOOKS", "INDEX"] as const) {
    counted[name] = wrap(env[name], { getByName: (stub) => everyCall(stub, (method) => count(`${name}.${method}`)) });
  }
  counted["BLOBS"] = everyCall(env.BLOBS, (method) => count(`BLOBS.${method}`));
  counted["DB"] = everyCall(env.DB, (method, args) =>
    count(method === "prepare" ? `DB ${String(args[0])}` : `DB.${method}`),
  );
  return { env: counted as Env, calls };
}

/** The same object; `after` changes what some of its methods return. */
function wrap(target: object, after: Record<string, (result: object) => unknown>): unknown {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        const result = (object as Record<string | symbol, Callable>)[key]?.(...args);
        return after[String(key)]?.(result as object) ?? result;
      };
    },
  });
}

function everyCall(target: object, onCall: (method: string, args: unknown[]) => void): unknown {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        onCall(String(key), args);
        return (object as Record<string | symbol, Callable>)[key]?.(...args);
      };
    },
  });
}
