/** What the command does when nobody reads any more what it prints, on real streams. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "edgeplane-reader-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A program that prints for ever; one that cleans up takes a moment for it when it is interrupted. */
function makeProgram(name: string, cleansUp: boolean): { file: string; cleaned: string } {
  const file = join(folder, `${name}.mjs`);
  const cleaned = join(folder, `${name}-cleaned`);
  const clean = `
    let isOver = false;
    async function end() {
      if (isOver) return;
      isOver = true;
      for (let turn = 0; turn < 5; turn += 1) {
        console.error("still at it");
        await new Promise((done) => setTimeout(done, 20));
      }
      writeFileSync(${JSON.stringify(cleaned)}, "");
      process.exit(7);
    }
    io.onInterrupt(() => {});
    io.onReaderGone(end);`;
  writeFileSync(
    file,
    `import { writeFileSync } from "node:fs";
    import { processIo } from ${JSON.stringify(join(import.meta.dirname, "io.ts"))};
    const io = processIo();
    ${cleansUp ? clean : ""}
    setInterval(() => io.stdout.write("x\\n"), 5);`,
  );
  return { file, cleaned };
}

async function codeOf(file: string): Promise<number | null> {
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe"] });
  await once(child.stdout, "data");
  child.stdout.destroy();
  child.stderr.destroy();
  const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  return ended;
}

test("a pipe that is closed ends it well, unless it has to clean up first", async () => {
  expect(await codeOf(makeProgram("plain", false).file)).toBe(0);
  const { file, cleaned } = makeProgram("cleans", true);
  expect(await codeOf(file)).toBe(7);
  expect(existsSync(cleaned)).toBe(true);
});

test("so does a terminal that is closed", () => {
  const { file, cleaned } = makeProgram("terminal", true);
  // The terminal's end is SIGHUP for who runs in it, and EIO for what that writes from then on.
  const terminal = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
os.read(fd, 1)
os.close(fd)
status = os.waitpid(pid, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 99)
`;
  expect(spawnSync("python3", ["-c", terminal, process.execPath, file]).status).toBe(7);
  expect(existsSync(cleaned)).toBe(true);
});
