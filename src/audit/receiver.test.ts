import { Webhook } from "standardwebhooks";
import { expect, it } from "vitest";
import { checkReceiver, postEvents } from "./receiver.ts";

const secret = `whsec_${btoa("s".repeat(32))}`;
const receiver = { url: "https://audit.example.com/events", secret };
const records = [1, 2].map((n) => ({ topic: "audit", value: JSON.stringify({ id: `e${n}` }) }));

it("posts a batch of events that the receiver can verify", async () => {
  const sent: { url: string; init: RequestInit }[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    sent.push({ url, init });
    return new Response("thanks");
  };
  await postEvents(receiver, records, { now: () => Date.now(), fetch });
  const [{ url, init } = { url: "", init: {} }] = sent;
  expect([url, init.method, init.redirect]).toEqual([receiver.url, "POST", "manual"]);
  const verified = new Webhook(secret).verify(String(init.body), init.headers as Record<string, string>);
  expect(verified).toEqual({ events: [{ id: "e1" }, { id: "e2" }] });
});

it.each([302, 400, 410, 500])("fails, to be tried again, when the receiver answers %i", async (status) => {
  const fetch = async () => new Response(null, { status });
  await expect(postEvents(receiver, records, { now: () => 0, fetch })).rejects.toThrow(String(status));
});

it("refuses addresses that may not be called, and secrets that sign nothing", () => {
  expect(() => checkReceiver(receiver, false)).not.toThrow();
  for (const url of ["http://audit.example.com/", "https://127.0.0.1/", "https://10.0.0.1/", "https://a.internal/"]) {
    expect(() => checkReceiver({ ...receiver, url }, false)).toThrow("the URL");
  }
  expect(() => checkReceiver({ ...receiver, url: "http://127.0.0.1:9/" }, true)).not.toThrow();
  for (const bad of ["", "secret", "whsec_short", "whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"]) {
    expect(() => checkReceiver({ ...receiver, secret: bad }, false)).toThrow("whsec_");
  }
});
