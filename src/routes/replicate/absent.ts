/** The calls of Replicate's API that are not offered here: a clear 501, once the caller is known. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { App } from "../app.ts";
import { operation } from "../operation.ts";
import { VersionPathSchema } from "../parameters.ts";

type Absent = { method: string; path: string; id: string; summary: string; parameters?: z.ZodObject; detail: string };

const NO_TRAININGS = "Trainings are not offered here.";
const NO_COLLECTIONS = "Collections are not offered here.";
const IdSchema = z.object({ id: z.string() });
const SlugSchema = z.object({ slug: z.string() });

const absent: readonly Absent[] = [
  { method: "GET", path: "/trainings", id: "listTrainings", summary: "List trainings", detail: NO_TRAININGS },
  {
    method: "GET",
    path: "/trainings/:id",
    id: "getTraining",
    summary: "Read a training",
    parameters: IdSchema,
    detail: NO_TRAININGS,
  },
  {
    method: "POST",
    path: "/trainings/:id/cancel",
    id: "cancelTraining",
    summary: "Cancel a training",
    parameters: IdSchema,
    detail: NO_TRAININGS,
  },
  {
    method: "POST",
    path: "/models/:owner/:name/versions/:version/trainings",
    id: "createTraining",
    summary: "Train a version",
    parameters: VersionPathSchema,
    detail: NO_TRAININGS,
  },
  { method: "GET", path: "/collections", id: "listCollections", summary: "List collections", detail: NO_COLLECTIONS },
  {
    method: "GET",
    path: "/collections/:slug",
    id: "getCollection",
    summary: "Read a collection",
    parameters: SlugSchema,
    detail: NO_COLLECTIONS,
  },
];

export function absentRoutes(): Hono<App> {
  const routes = new Hono<App>();
  for (const { method, path, id, summary, parameters, detail } of absent) {
    const refuse = operation(
      {
        id,
        tag: "Not offered",
        summary,
        access: "models:read",
        ...(parameters === undefined ? {} : { path: parameters }),
        answers: {},
        errors: ["not_implemented"],
      },
      () => {
        throw new EdgeplaneError("not_implemented", detail);
      },
    );
    routes.on(method, path, refuse);
  }
  return routes;
}
