import { validateWebhook } from "replicate";
import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { newWebhookSecret, signedHeaders } from "./signature.ts";

const body = JSON.stringify({ id: "x", output: "grüße 🎉" });

describe("signatures", () => {
  it("are verified by standardwebhooks and by replicate's validateWebhook", async () => {
    for (let round = 0; round < 50; round += 1) {
      const secret = newWebhookSecret();
      const headers = await signedHeaders(`msg_${round}`, Math.floor(Date.now() / 1000), body, [secret]);
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
      expect(await validateWebhook(new Request("http://x", { method: "POST", body, headers }), secret)).toBe(true);
    }
  });

  it("equal what standardwebhooks signs", async () => {
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const headers = await signedHeaders("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, '{"test": 2432232314}', [
      secret,
    ]);
    expect(headers["webhook-signature"]).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  });

  it("carry one signature per secret during a rotation, and none of a stranger", async () => {
    const secrets = [newWebhookSecret(), newWebhookSecret()];
    const headers = await signedHeaders("msg_1", Math.floor(Date.now() / 1000), body, secrets);
    expect(headers["webhook-signature"]?.split(" ")).toHaveLength(2);
    for (const secret of secrets) new Webhook(secret).verify(body, headers);
    expect(() => new Webhook(newWebhookSecret()).verify(body, headers)).toThrow("No matching signature");
    expect(() => new Webhook(secrets[0]!).verify(`${body} `, headers)).toThrow("No matching signature");
  });
});
