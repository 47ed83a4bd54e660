/** The broker of the product: it claims from the shards. */
import { claimJobs } from "../shard/client.ts";
import { LogBrokerBase } from "./broker-base.ts";
import type { ClaimJobs } from "./protocol.ts";

export class LogBroker extends LogBrokerBase {
  protected override claimJobs(...[request, scope]: Parameters<ClaimJobs>): ReturnType<ClaimJobs> {
    return claimJobs(this.env, request, scope);
  }
}
