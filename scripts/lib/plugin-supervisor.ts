/** The calls by which the local Worker asks for the workerds of uploaded plugins. */
import { Response } from "miniflare";
import type { Request } from "miniflare";
import * as z from "zod";
import { HostStartSchema } from "./plugin-hosts.ts";
import type { PluginHosts } from "./plugin-hosts.ts";

const SuspectSchema = z.object({ key: z.string() });

/** A service for Miniflare: `POST /start` and `POST /suspect` of `src/sandbox/local-runner.ts`. */
export function supervisorOf(hosts: PluginHosts): (request: Request) => Promise<Response> {
  return async (request) => {
    const body: unknown = await request.json();
    if (new URL(request.url).pathname === "/start")
      return Response.json(await hosts.start(HostStartSchema.parse(body)));
    await hosts.suspect(SuspectSchema.parse(body).key);
    return Response.json({});
  };
}
