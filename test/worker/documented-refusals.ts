/** Whether what a route refuses with stands in its description, and so in the document that clients are made from. */
import { createApp } from "../../src/routes/create-app.ts";
import type { ShardPort } from "../../src/routes/app.ts";
import { refusals } from "../../src/routes/openapi/answers.ts";
import { descriptionOf } from "../../src/routes/operation.ts";

const app = createApp({} as ShardPort);

/** Throws when the operation behind the request does not name the code of this refusal. */
export async function expectDocumented({ method, url }: Request, response: Response): Promise<void> {
  if (method === "HEAD" || response.headers.get("content-type")?.startsWith("application/problem+json") !== true)
    return;
  const { code } = await response.clone().json<{ code: string }>();
  const [matched] = app.router.match(method, new URL(url).pathname);
  for (const [[handler]] of matched) {
    const operation = descriptionOf(handler);
    if (operation === undefined || refusals(operation).some((named) => named === code)) continue;
    throw new Error(`${operation.id} refuses with ${code}, which is not among the \`errors\` of its description`);
  }
}
