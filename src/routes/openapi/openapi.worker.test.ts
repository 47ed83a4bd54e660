/** The document tells all that the app answers, and nothing else. */
import { describe, expect, test } from "vitest";
import { callJson } from "../../../test/worker/edge-harness.ts";
import type { ShardPort } from "../app.ts";
import { createApp } from "../create-app.ts";
import { descriptionOf } from "../operation.ts";
import { openApiDocument, openApiPath } from "./document.ts";

const app = createApp({} as ShardPort);
const document = openApiDocument(app);

type Operation = {
  operationId: string;
  parameters?: { in: string; name: string }[];
  responses: Record<string, unknown>;
};
const operations = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ method, path, operation: operation as Operation })),
);

/** The log's routes speak a dialect that is documented by its own; `QUERY` has no word in OpenAPI 3.1. */
const isDocumented = ({ method, path }: { method: string; path: string }): boolean =>
  method !== "ALL" && method !== "QUERY" && !path.startsWith("/kafka/");

/** Statuses that an answer without a body may have. */
const mayBeEmpty = new Set(["101", "202", "204", "304"]);

test("every route of the app is in the document, and the other way round", () => {
  const routes = app.routes.filter(isDocumented).map(({ method, path }) => `${method} ${openApiPath(path)}`);
  const documented = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect(documented.toSorted()).toEqual([...new Set(routes)].toSorted());
});

test("what answers all methods only lets in or refuses", () => {
  const catchAll = app.routes.filter(({ method, path }) => method === "ALL" && !path.endsWith("*"));
  expect(catchAll.map(({ path }) => path)).toEqual(["/openapi.json"]);
  expect(
    app.routes.filter(({ method, handler }) => method === "QUERY" && descriptionOf(handler) === undefined),
  ).toEqual([]);
});

describe("the document", () => {
  test("is served without a key, to every origin", async () => {
    const { status, body, headers } = await callJson("/openapi.json");
    expect(status).toBe(200);
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(body).toMatchObject({ openapi: "3.1.1", paths: { "/v1/account": { get: { operationId: "getAccount" } } } });
  });

  test("names each operation once", () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  });

  test("says of all that makes predictions that a version may not be live yet", () => {
    const creating = operations.filter(({ method, path }) =>
      method === "post" ? path.endsWith("/predictions") : path === "/v1/predictions/{id}" && method === "put",
    );
    expect(creating.map(({ operation }) => operation.operationId)).toHaveLength(5);
    expect(creating.filter(({ operation }) => !Object.hasOwn(operation.responses, "409"))).toEqual([]);
  });

  test("describes the parameters of each path", () => {
    for (const { path, operation } of operations) {
      const named = (operation.parameters ?? []).filter((one) => one.in === "path").map(({ name }) => name);
      expect(named.toSorted(), path).toEqual(
        [...path.matchAll(/\{(\w+)\}/g)].map((match) => String(match[1])).toSorted(),
      );
    }
  });

  test("has what it refers to", () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1] ?? "");
    const missing = refs.filter((ref) => ref.split("/").reduce(inner, document as unknown) === undefined);
    expect(missing).toEqual([]);
    const linked = [...JSON.stringify(document).matchAll(/"links":\{(.*?)\}\}\}/g)].flatMap((match) =>
      [...(match[1] ?? "").matchAll(/"operationId":"(\w+)"/g)].map((id) => id[1]),
    );
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(linked.filter((id) => !ids.includes(id ?? ""))).toEqual([]);
  });

  test("gives every body a schema", () => {
    for (const { method, path, operation } of operations) {
      for (const [status, answer] of Object.entries(operation.responses)) {
        const { content } = answer as { content?: Record<string, { schema?: unknown }> };
        const schemas = Object.values(content ?? {}).map(({ schema }) => schema);
        const where = `${method} ${path} ${status}`;
        if (!mayBeEmpty.has(status)) expect(schemas.length, where).toBeGreaterThan(0);
        expect(schemas, where).not.toContain(undefined);
      }
    }
  });
});

function inner(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}
