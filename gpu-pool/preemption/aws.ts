/**
 * Spot Instances of EC2, over IMDSv2. Notices come two minutes ahead.
 * Source: EC2 User Guide, "Spot Instance interruption notices" and "Use the Instance Metadata Service".
 */
import * as z from "zod";
import { millisecondsTo } from "./notice.ts";
import type { Ask, Cloud, Notice } from "./notice.ts";

const TOKEN_TTL_SECONDS = "21600";
const NOTICE_MS = 120_000;

const ActionSchema = z.object({ action: z.string(), time: z.string() });

export function createAws(ask: Ask): Cloud {
  let token: string | null = null;

  async function renew(): Promise<string | null> {
    const headers = { "x-aws-ec2-metadata-token-ttl-seconds": TOKEN_TTL_SECONDS };
    const { status, text } = await ask("PUT", "/latest/api/token", headers);
    token = status === 200 && text !== "" ? text : null;
    return token;
  }

  return {
    everyMs: 2000,
    probe: async () => (await renew()) !== null,
    async look(): Promise<Notice | null> {
      const current = token ?? (await renew());
      if (current === null) throw new Error("the metadata service gives no token");
      const headers = { "x-aws-ec2-metadata-token": current };
      const answer = await ask("GET", "/latest/meta-data/spot/instance-action", headers);
      if (answer.status === 401) token = null;
      // 404: there is no notice.
      if (answer.status === 401 || answer.status === 404) return null;
      if (answer.status !== 200) throw new Error(`the metadata service answered ${answer.status}`);
      const { action, time } = ActionSchema.parse(JSON.parse(answer.text));
      return {
        withinMs: millisecondsTo(time, answer, NOTICE_MS),
        why: `AWS will ${action} this Spot Instance at ${time}`,
      };
    },
  };
}
