/**
 * An HTTP server in Node that reads a request and answers the same bytes to each: what any server of the dialect costs
 * its clients at least.
 */
import { createServer } from "node:http";

const body = process.argv[2] ?? "{}";
const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };

const server = createServer((request, response) => {
  request.resume().once("end", () => response.writeHead(200, headers).end(body));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
