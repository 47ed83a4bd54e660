/** The calls of Replicate's API that are not offered here: a clear 501, once the caller is known. */
import { Hono } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { App } from "../app.ts";
import { requireScope } from "../authenticate.ts";

const absent: readonly [string, string][] = [
  ["/trainings", "Trainings are not offered here."],
  ["/models/:owner/:name/versions/:version/trainings", "Trainings are not offered here."],
  ["/collections", "Collections are not offered here."],
];

export function absentRoutes(): Hono<App> {
  const routes = new Hono<App>();
  const known = requireScope("models:read");
  for (const [path, detail] of absent) {
    const refuse = (): never => {
      throw new EdgeplaneError("not_implemented", detail);
    };
    routes.all(path, known, refuse);
    routes.all(`${path}/*`, known, refuse);
  }
  return routes;
}
