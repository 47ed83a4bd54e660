import { afterEach, expect, it, vi } from "vitest";
import { listen } from "./listener.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A socket whose other side is gone without a word: it hears nothing, and its end is never confirmed. */
class DeadSocket extends EventTarget {
  static opened = 0;

  constructor() {
    super();
    DeadSocket.opened += 1;
    queueMicrotask(() => this.dispatchEvent(new Event("open")));
  }

  send(): void {}
  close(): void {}
}

it("gives a socket up on which nothing is heard, though its end is never confirmed", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  vi.stubGlobal("WebSocket", DeadSocket);
  const news = vi.fn();
  const log = { info: () => {} };
  const url = new URL("http://edge.test");
  const listener = listen({ url, token: "t", provider: "p", log, onNews: news });
  await vi.advanceTimersByTimeAsync(1000);
  expect(listener.isOpen).toBe(true);
  expect(news).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(80_000);
  expect(DeadSocket.opened).toBe(2);
  // The loss is news, and the new socket is.
  expect(news).toHaveBeenCalledTimes(3);
  listener.close();
});
