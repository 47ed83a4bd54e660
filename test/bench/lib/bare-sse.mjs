/**
 * The least that a stream can be: Node answers each request with chunks at a steady rate, made by itself. Prints its
 * port.
 */
import { createServer } from "node:http";

const server = createServer((request, response) => {
  const query = new URL(request.url ?? "/", "http://localhost").searchParams;
  const chunks = Number(query.get("chunks"));
  const everyMs = 1000 / Number(query.get("per_second"));
  response.writeHead(200, { "content-type": "text/event-stream" });
  const begun = performance.now();
  let index = 0;
  const next = () => {
    const yielded = (performance.timeOrigin + performance.now()) / 1000;
    response.write(`event: output\nid: ${index + 1}\ndata: ${yielded.toFixed(6)} a token or two \n\n`);
    index += 1;
    if (index === chunks) response.end("event: done\ndata: {}\n\n");
    else setTimeout(next, Math.max(0, begun + index * everyMs - performance.now()));
  };
  next();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
