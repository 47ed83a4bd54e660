import { describe, expect, it } from "vitest";
import { isKnownScript, ScriptMap, sha1 } from "./scripts.ts";

const BODY = "\nreturn KEYS[1]";

describe("scripts for Upstash on a stock server", () => {
  it("lose the flag that only Upstash knows, and keep their line numbers and other flags", () => {
    const scripts = new ScriptMap();
    expect(scripts.adapt(`#!lua flags=allow-key-locking${BODY}`)).toBe(BODY);
    expect(scripts.adapt(`#!lua flags=no-writes,allow-key-locking${BODY}`)).toBe(`#!lua flags=no-writes${BODY}`);
    expect(scripts.adapt(`#!lua flags=no-writes${BODY}`)).toBe(`#!lua flags=no-writes${BODY}`);
    expect(scripts.adapt("return 1")).toBe("return 1");
  });

  it("are found under the SHA-1 that the client computed", () => {
    const scripts = new ScriptMap();
    const original = `#!lua flags=allow-key-locking${BODY}`;
    expect(scripts.rewrite("EVALSHA", [sha1(original), "0"])).toEqual([sha1(original), "0"]);
    expect(scripts.rewrite("EVAL", [original, "1", "k"])).toEqual([BODY, "1", "k"]);
    expect(scripts.rewrite("EVALSHA", [sha1(original).toUpperCase(), "0"])).toEqual([sha1(BODY), "0"]);
    expect(scripts.rewrite("SCRIPT", ["EXISTS", sha1(original), sha1("x")])).toEqual(["EXISTS", sha1(BODY), sha1("x")]);
    expect(scripts.rewrite("SCRIPT", ["LOAD", original])).toEqual(["LOAD", BODY]);
    expect(scripts.rewrite("GET", ["k"])).toEqual(["k"]);
  });

  it("count as known by their content, not by their looks", () => {
    expect(isKnownScript({ sha: "B2EFC02798C8E9B471A10F9B1D5745DB89923FF3" })).toBe(true);
    expect(isKnownScript({ script: "#!lua flags=allow-key-locking\nreturn redis.call('GET', 'secret')" })).toBe(false);
  });
});
