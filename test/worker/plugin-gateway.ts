/** A gateway with settings of its own that lets pushed models bring plugins; what is published holds at once. */
import type { Env } from "../../src/env.ts";
import { callJson, FakePool, newKey, testEnv } from "./edge-harness.ts";
import { push, SCHEMA } from "./pushing.ts";
import type { Files } from "./pushing.ts";

type Body = Record<string, unknown>;
type Settings = { pushed_plugins?: object; plugins?: object; uploads?: object };

/** A plugin's files; its module has these hooks (source text, by phase). It may take its time on a busy machine. */
export function pluginFiles(name: string, hooks: Record<string, string>, manifest: object = {}): Files {
  const phases = Object.keys(hooks);
  const source = phases.map((phase) => `${phase}: ${hooks[phase]}`).join(", ");
  return {
    [`plugins/${name}/plugin.json`]: JSON.stringify({ name, api_version: 1, phases, timeout_ms: 10_000, ...manifest }),
    [`plugins/${name}/module.js`]: `export default { setup: ({ config }) => ({ ${source} }) };`,
  };
}

export class PluginGateway {
  readonly #name: string;
  readonly #base: Partial<Env>;
  env: Partial<Env> = {};

  constructor(name: string, base: Partial<Env> = {}) {
    this.#name = name;
    this.#base = base;
  }

  async publish({ plugins = {}, ...settings }: Settings): Promise<void> {
    const getByName = () => testEnv.SETTINGS.getByName(this.#name);
    // An isolate remembers settings by this binding: another one is read at once.
    this.env = { ...this.#base, SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
    const body = { settings: { plugins: { "api-key": {}, ...plugins }, ...settings }, why: "a test" };
    const published = await callJson("/admin/v1/settings", { key: testEnv.ADMIN_KEY ?? "", env: this.env, body });
    if (published.status !== 201) throw new Error(`the settings are refused: ${JSON.stringify(published.body)}`);
    this.env = { ...this.env, SETTINGS: { getByName } as unknown as Env["SETTINGS"] };
  }

  /** An account with a model; what it pushes is live at once. */
  async owner(owner: string, name = "m") {
    const key = await newKey(owner);
    const model = { owner, name, key };
    const path = `/v1/models/${owner}/${name}`;
    return {
      key,
      name: owner,
      push: async (files: Files) =>
        push(model, { "cog.yaml": "", ...files }, { manifest: { schema: SCHEMA } }, this.env),
      view: async (version: string, as = key): Promise<Body> =>
        (await callJson(`${path}/versions/${version}`, { key: as, env: this.env })).body["edgeplane"] as Body,
      predict: async (version: string | null, input: object, as = key) =>
        callJson(version === null ? `${path}/predictions` : "/v1/predictions", {
          key: as,
          env: this.env,
          body: { input, ...(version === null ? {} : { version: `${owner}/${name}:${version}` }) },
        }),
      call: async (method: string, more: string, body?: unknown) =>
        callJson(`${path}${more}`, { method, key, env: this.env, body }),
      get: async (id: string) => (await callJson(`/v1/predictions/${id}`, { key, env: this.env })).body,
    };
  }

  /** A pool's claim of a prediction, whose events come here. */
  async claim(id: string) {
    const pool = await FakePool.open();
    const grant = await pool.claim(id);
    let { seq } = grant;
    const send = async (...events: object[]): Promise<Body[]> => {
      const numbered = events.map((event) => ({ ...event, id, token: grant.token, seq: seq++ }));
      const body = { session: pool.session, events: numbered };
      const answer = await callJson("/pool/v1/events", { key: pool.key, env: this.env, body });
      return answer.body["verdicts"] as Body[];
    };
    return { send, grant };
  }
}
