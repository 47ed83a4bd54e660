/** A gateway of a test: it answers as it was told to, and remembers what it was asked. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach } from "vitest";
import * as z from "zod";

/** `url`: path and query. `body`: what its JSON says; null: there was none. */
type Asked = { url: string; headers: IncomingHttpHeaders; body: unknown };
type Gateway = { answers: Map<string, unknown>; asked: Asked[]; url: string };

const AddressSchema = z.object({ port: z.number() });

/**
 * Runs for all tests of a file, each of which begins with nothing answered or asked. `answers`: by method and address,
 * such as `GET /v1/account`, with the query or without; anything else is 404.
 */
export function useGateway(): Gateway {
  const gateway: Gateway = { answers: new Map(), asked: [], url: "" };
  const server = createServer((request, response) => {
    const { method, url = "/", headers } = request;
    void text(request).then((body) => {
      gateway.asked.push({ url, headers, body: body === "" ? null : JSON.parse(body) });
      const { pathname } = new URL(url, "http://gateway");
      const answer = gateway.answers.get(`${method} ${url}`) ?? gateway.answers.get(`${method} ${pathname}`);
      const problem = { detail: "There is nothing at this address.", code: "not_found" };
      return response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? problem));
    });
  });
  beforeAll(async () => {
    await once(server.listen(0, "127.0.0.1"), "listening");
    gateway.url = `http://127.0.0.1:${AddressSchema.parse(server.address()).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    gateway.answers.clear();
    gateway.asked.length = 0;
  });
  return gateway;
}
