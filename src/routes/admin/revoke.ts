/** Revoking a credential: the same for API keys and for pool tokens. */
import type { Handler } from "hono";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { App } from "../app.ts";
import { empty, operation } from "../operation.ts";
import { CredentialPathSchema } from "./page.ts";

type Revoking = {
  /** The operation's id. */
  id: string;
  summary: string;
  /** What it is called where there is none. */
  name: string;
  /** False where there is none. */
  revoke: (db: D1Database, id: string) => Promise<boolean>;
};

export function revokeRoute({ id, summary, name, revoke }: Revoking): Handler<App> {
  return operation(
    {
      id,
      tag: "Operator",
      summary,
      description: "It stops working within 10 seconds.",
      access: "operator",
      path: CredentialPathSchema,
      answers: { 204: empty("It is revoked.") },
    },
    async (c, { path }) => {
      if (await revoke(c.env.DB, path.id)) return c.body(null, 204);
      throw new EdgeplaneError("not_found", `There is no such ${name}.`);
    },
  );
}
