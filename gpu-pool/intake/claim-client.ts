/** Claims over `POST /pool/v1/claims`, for logs that don't claim on the pool's behalf, and for answers of `later`. */
import type { ClaimAnswer, ClaimRequest } from "../../src/contract/claim.ts";
import type { HttpClient } from "../transport/http-client.ts";
import { parseClaimReply } from "./grants.ts";

const CLAIM_TIMEOUT_MS = 10_000;
/** In one request; the edge takes no more. */
export const MAX_JOBS = 1000;

export type ClaimClient = {
  /**
   * Asks for `jobs`, `MAX_JOBS` at most. Throws `TransportError` or `StatusError`; asking again is harmless, because
   * claims are idempotent per session.
   */
  claim(jobs: ClaimRequest["jobs"]): Promise<ClaimAnswer[]>;
};

export function createClaimClient(http: HttpClient, session: string): ClaimClient {
  return {
    async claim(jobs) {
      const request: ClaimRequest = { session, jobs };
      const reply = await http.json({
        method: "POST",
        path: "/pool/v1/claims",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(request),
        timeoutMs: CLAIM_TIMEOUT_MS,
      });
      return parseClaimReply(reply);
    },
  };
}
