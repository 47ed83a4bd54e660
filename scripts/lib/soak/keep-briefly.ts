import { ACCOUNT } from "../local-accounts.ts";
import type { Stack } from "../stack.ts";

/** The shortest that there is. */
const RETENTION_S = 60;

/**
 * Sets the account's retention, so that within minutes as much is deleted as comes in. Throws when the edge refuses it.
 */
export async function keepBriefly(stack: Pick<Stack, "url" | "adminKey">): Promise<void> {
  const response = await fetch(`${stack.url}/admin/v1/accounts/${ACCOUNT}`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${stack.adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ retention_s: RETENTION_S }),
  });
  if (!response.ok)
    throw new Error(`the account's retention can't be set: ${response.status} ${await response.text()}`);
  await response.body?.cancel();
}
