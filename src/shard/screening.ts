/** What screening must know of claims whose events came: whose they are, and how far the shard is with them. */
import type { ClaimRef } from "../contract/channel.ts";
import type { Progress } from "./progress.ts";
import type { Screened } from "./types.ts";

export function createScreening(load: (id: string) => Progress | null) {
  return {
    /** Those that are not the latest claim of their prediction are left out. */
    screened(claims: readonly ClaimRef[]): Screened[] {
      return claims.flatMap(({ id, token }) => {
        const row = load(id)?.row;
        if (row === undefined || row.token !== token) return [];
        const { model, question, isGuarded } = row.fixed;
        const known = { id, token, accountId: row.accountId, model, nextSeq: row.nextSeq, held: row.held ?? null };
        if (question !== undefined) return [{ ...known, isQuestion: true as const }];
        return [isGuarded === undefined ? known : { ...known, isGuarded }];
      });
    },
  };
}
