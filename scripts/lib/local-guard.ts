/**
 * Wraps the Worker for the local stack: only requests whose Host is a loopback name get in. The stack's keys lie on
 * this machine, and a web page that points its own name at 127.0.0.1 must not be able to use them (DNS rebinding).
 */
type Handler<Env, Context> = {
  fetch: (request: Request, env: Env, context: Context) => Response | Promise<Response>;
};

const loopbackNames = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Whether `host`, a Host header, names this machine's loopback; any port will do. */
export function isLoopbackHost(host: string): boolean {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  return loopbackNames.has(name) || name.endsWith(".localhost");
}

/** The same handler, closed to every Host but loopback's and those of `LOCAL_HOSTS` (comma-separated). */
export function guardHost<Env extends { LOCAL_HOSTS?: string }, Context>(
  worker: Handler<Env, Context>,
): Handler<Env, Context> {
  return {
    ...worker,
    fetch(request, env, context) {
      const host = request.headers.get("host") ?? new URL(request.url).host;
      if (isLoopbackHost(host) || (env.LOCAL_HOSTS ?? "").split(",").includes(host)) {
        return worker.fetch(request, env, context);
      }
      const detail = `This local stack answers on loopback names only; the request's Host was ${JSON.stringify(host)}.`;
      return Response.json(
        { type: "about:blank", title: "Forbidden", status: 403, code: "forbidden", detail },
        { status: 403, headers: { "content-type": "application/problem+json" } },
      );
    },
  };
}
