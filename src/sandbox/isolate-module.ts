/**
 * The main module of an uploaded plugin's isolate. It answers three calls: `load()` looks whether the module is a
 * plugin; `start({ config })` sets it up and says which hooks it has; `run({ config, phase, subject })` runs one hook.
 *
 * Calls come as HTTP, so that whoever asks reads no more of an answer than it wants to: where the platform loads the
 * isolate, on the entrypoint `Plugin`; where a workerd of its own runs it (scripts/lib/plugin-hosts.ts), on a port that
 * `PLUGIN_TOKEN` guards. JSON crosses, so that a hook can't change what it was given.
 */
export const PLUGIN_MODULE = "plugin.js";
export const MAIN_MODULE = "main.js";
export const ENTRYPOINT = "Plugin";

/** Settings of which an isolate keeps the hooks: those that hold, a draft, and what requests in flight began with. */
const MAX_SETUPS = 4;

export const mainModule = `import { WorkerEntrypoint } from "cloudflare:workers";
import * as uploaded from "./${PLUGIN_MODULE}";

const setups = new Map();

function hooksOf(config) {
  const key = JSON.stringify(config);
  let hooks = setups.get(key);
  if (hooks === undefined) {
    hooks = Promise.resolve(pluginOf().setup({ config: JSON.parse(key) })).then((made) => {
      if (made === null || typeof made !== "object") throw new Error("setup returned no object of hooks");
      return made;
    });
    hooks.catch(() => setups.delete(key));
    if (setups.size >= ${MAX_SETUPS}) setups.delete(setups.keys().next().value);
    setups.set(key, hooks);
  }
  return hooks;
}

function pluginOf() {
  const plugin = uploaded.default;
  if (plugin === null || typeof plugin !== "object" || typeof plugin.setup !== "function")
    throw new Error("its default export must be an object with a function setup(context)");
  return plugin;
}

const calls = {
  async load() {
    pluginOf();
  },
  async start({ config }) {
    const hooks = await hooksOf(config);
    return Object.keys(hooks).filter((name) => typeof hooks[name] === "function");
  },
  async run({ config, phase, subject }) {
    const hooks = await hooksOf(config);
    if (subject.headers !== undefined) subject.header = (name) => subject.headers[name.toLowerCase()];
    return JSON.stringify(await hooks[phase](subject));
  },
};

async function answer(path, request) {
  try {
    return Response.json({ value: (await calls[path](await request.json())) ?? null });
  } catch (error) {
    return Response.json({ error: String(error) });
  }
}

export class ${ENTRYPOINT} extends WorkerEntrypoint {
  fetch(request) { return answer(new URL(request.url).pathname.slice(1), request); }
}

export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname.slice(1);
    if (request.headers.get("authorization") !== "Bearer " + env.PLUGIN_TOKEN) return new Response(null, { status: 403 });
    return path === "ping" ? new Response("pong") : answer(path, request);
  },
};
`;
