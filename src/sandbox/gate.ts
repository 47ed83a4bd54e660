/** The only way out of a plugin that was granted hosts: HTTPS to these, and nothing else. */
import { WorkerEntrypoint } from "cloudflare:workers";
import type { Env } from "../env.ts";
import type { GateProps } from "./gate-props.ts";

export class PluginGate extends WorkerEntrypoint<Env, GateProps> {
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.protocol === "https:" && url.port === "" && this.ctx.props.hosts.includes(url.hostname)) {
      // A redirect would lead past the gate.
      return fetch(new Request(request, { redirect: "manual" }));
    }
    return new Response(`This plugin was not granted ${url.origin}.`, { status: 403 });
  }
}
