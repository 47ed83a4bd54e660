/**
 * Decodes what comes gzipped or in brotli. The runtime decodes the body of an answer that names its coding, as it is
 * read and no further ahead, so the Worker answers itself with what it got. (`DecompressionStream` knows no brotli, and
 * decodes all that it is given at once.) https://developers.cloudflare.com/workers/runtime-apis/context/#exports
 */
import { WorkerEntrypoint } from "cloudflare:workers";

export class StreamDecoder extends WorkerEntrypoint {
  override fetch(request: Request): Response {
    const headers = { "content-encoding": request.headers.get("content-encoding") ?? "identity" };
    return new Response(request.body, { headers, encodeBody: "manual" });
  }
}
