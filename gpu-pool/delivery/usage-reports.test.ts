import { expect, it } from "vitest";
import type { EventsReply } from "../../src/contract/event.ts";
import { EventsRequestSchema } from "../../src/contract/event.ts";
import type { UsageReport } from "../../src/contract/usage.ts";
import { createSteppedClock } from "../../test/unit/hand-clock.ts";
import { StatusError, TransportError } from "../transport/http-client.ts";
import { createHttpCarrier } from "./carrier.ts";
import { Delivery } from "./delivery.ts";

const usage = { device: "cpu", queuedMs: 0, runMs: 1, gpuUs: 1000 };
const reportOf = (token: string, attempt = 1): UsageReport => ({
  ...{ id: "p", token, attempt, outcome: "bisected", usage },
});
const verdicts = (reports: readonly UsageReport[], verdict: "ok" | "later") =>
  reports.map(({ token, attempt }) => ({ token, attempt, verdict }));

type Request = { usage: UsageReport[]; tokens: string[] };

/** `answer`: what the edge makes of a request; an error is thrown. */
function setUp(answer: (request: Request, index: number) => Partial<EventsReply> | Error) {
  const { clock, pass } = createSteppedClock();
  const requests: Request[] = [];
  const refused: string[] = [];
  const carrier = createHttpCarrier({
    ...{ baseUrl: new URL("http://edge.test"), close() {} },
    request: () => Promise.reject(new Error("unused")),
    stream: () => Promise.reject(new Error("unused")),
    async json({ body }) {
      const { usage: told = [], events } = EventsRequestSchema.parse(JSON.parse(String(body)));
      const request = { usage: told, tokens: events.map(({ token }) => token) };
      requests.push(request);
      const reply = answer(request, requests.length - 1);
      if (reply instanceof Error) throw reply;
      const ok = events.map(({ id, token, seq }) => ({ id, token, verdict: "ok", next: seq + 1 }));
      return { verdicts: ok, cancel: [], ...reply };
    },
  });
  const delivery = new Delivery({
    ...{ carrier, session: "session-a", clock },
    spool: { size: 0, keep() {}, drop() {}, load: () => ({ claims: [], bad: [] }) },
    ...{ onVerdict() {}, onCancel() {}, onClosing() {}, onEnded() {}, onState() {}, onBatch() {} },
    onRefused: (why) => void refused.push(why),
  });
  const end = (token: string): void => {
    delivery.open({ id: "p", token }, 0);
    delivery.add(token, { type: "succeeded", output: 1 });
  };
  return { delivery, pass, requests, refused, end };
}

it("tells each report until the edge has it, beside events", async () => {
  const { delivery, pass, requests, end } = setUp(({ usage: told }, index) =>
    index === 0 ? new TransportError("away") : { usage: verdicts(told, index === 1 ? "later" : "ok") },
  );
  delivery.report(reportOf("a"));
  end("b");
  await pass(1000);
  expect(requests.map(({ usage: told }) => told.length)).toEqual([1, 1, 1]);
  expect(delivery.reports).toEqual([]);
  await pass(10_000);
  expect(requests).toHaveLength(3);
});

it("tells an edge that knows of none in vain, once", async () => {
  const { delivery, pass, requests } = setUp(() => ({}));
  delivery.report(reportOf("a"));
  await pass(1000);
  expect([requests.length, delivery.reports]).toEqual([1, []]);
});

it("has no result refused for the reports beside it, nor tells refused ones for ever", async () => {
  const { delivery, pass, requests, refused, end } = setUp(({ usage: told }) =>
    told.length > 0 ? new StatusError(400, "/pool/v1/events", "no") : {},
  );
  delivery.report(reportOf("a"));
  end("b");
  await pass(1000);
  expect(requests.map(({ usage: told, tokens }) => [told.length, tokens])).toEqual([
    [1, ["b"]],
    [0, ["b"]],
    [1, []],
  ]);
  expect([refused.length, delivery.pending, delivery.reports]).toEqual([1, 0, []]);
});

it("flushes what is to be told", async () => {
  const { delivery, pass, requests } = setUp(({ usage: told }) => ({ usage: verdicts(told, "ok") }));
  delivery.report(reportOf("a"));
  let isOver = false;
  void delivery.flush(5000).then(() => (isOver = true));
  await pass(300);
  expect([isOver, requests.length]).toEqual([true, 1]);
});
