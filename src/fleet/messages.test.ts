/** What an edge makes of the texts of pools of other releases. */
import { expect, it } from "vitest";
import { commonProtocol, OLDEST_PROTOCOL, PROTOCOL } from "../contract/channel.ts";
import { parseMessage } from "./messages.ts";

it("leaves messages of a later release alone, and refuses what is none", () => {
  expect(parseMessage('{"type":"later","n":1}')).toBeNull();
  expect(parseMessage('{"type":"draining","of":"a later release"}')).toEqual({ type: "draining" });
  for (const text of ['{"type":"parked","n":"one"}', '{"type":7}', "[]", "null", "{", '{"n":1}']) {
    expect(parseMessage(text)).toBe("not a message of the control channel");
  }
});

it("finds the newest protocol that both speak", () => {
  expect(PROTOCOL - OLDEST_PROTOCOL).toBeLessThanOrEqual(1);
  expect(commonProtocol({ protocol: PROTOCOL })).toBe(PROTOCOL);
  expect(commonProtocol({ protocol: OLDEST_PROTOCOL })).toBe(OLDEST_PROTOCOL);
  expect(commonProtocol({ protocol: PROTOCOL + 1, oldestProtocol: PROTOCOL })).toBe(PROTOCOL);
  expect(commonProtocol({ protocol: PROTOCOL + 1 })).toBeNull();
  expect(commonProtocol({ protocol: OLDEST_PROTOCOL - 1 })).toBeNull();
});

it("says why within what a close reason may carry, whatever number a pool says", () => {
  for (const protocol of [Number.MAX_VALUE, -Number.MAX_VALUE, 1.5]) {
    const reason = parseMessage(JSON.stringify({ type: "hello", protocol }));
    expect(typeof reason).toBe("string");
    expect(new TextEncoder().encode(String(reason)).length).toBeLessThanOrEqual(123);
  }
});
