/** A host that can start no command, for want of memory or of file handles. */
import { EventEmitter } from "node:events";
import { expect, test, vi } from "vitest";
import { runCommand } from "./command.ts";

const { spawn } = vi.hoisted(() => ({ spawn: vi.fn() }));
vi.mock("node:child_process", () => ({ spawn }));

test("without memory a command fails with the reason: who waits for none of its words is not ended by it", async () => {
  spawn.mockImplementation(() => {
    throw new Error("spawn ENOMEM");
  });
  await expect(runCommand("du", ["-sk", "."])).resolves.toMatchObject({ code: 127, output: "Error: spawn ENOMEM" });
});

test("so it does without file handles", async () => {
  spawn.mockImplementation(() => {
    const child = new EventEmitter();
    setImmediate(() => child.emit("error", new Error("spawn /bin/sh EMFILE")));
    return child;
  });
  await expect(runCommand("du", ["-sk", "."])).resolves.toMatchObject({ code: 127 });
});
