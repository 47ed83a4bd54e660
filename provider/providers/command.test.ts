import { expect, it } from "vitest";
import type { Provider } from "../provider.ts";
import { command, CommandSchema } from "./command.ts";

const signal = () => AbortSignal.timeout(10_000);

/** A provider each of whose programs is this line of shell. */
function here(line: string, said: string[] = [], timeoutMs = 5000): Provider {
  const argv = ["sh", "-c", line];
  const options = { offers: argv, list: argv, create: argv, destroy: argv, timeoutMs };
  return command(CommandSchema.parse(options), (told) => said.push(told));
}
const why = (call: Promise<unknown>) =>
  call.then(
    () => "done",
    ({ reason }: { reason: string }) => reason,
  );
const destroyed = (line: string, timeoutMs?: number) => why(here(line, [], timeoutMs).destroy("i-1", signal()));

it("hands JSON over, and takes JSON back", async () => {
  const machine = `{"providerId":"i-1","name":"web","state":"ended","createdAtMs":5}`;
  expect(await here(`cat >/dev/null; echo '{"machines":[${machine}]}'`).list(signal())).toStrictEqual([
    { providerId: "i-1", name: "web", state: "ended", createdAtMs: 5, offer: null },
  ]);
  expect(await destroyed(`grep -q '^{"providerId":"i-1"}$' && echo '{}'`)).toBe("done");
});

it("reads a list in which others' machines have no name, or one that is long", async () => {
  const machines = ["", "n".repeat(300)].map((name, n) => ({
    ...{ providerId: `i-${n}`, name, state: "running", createdAtMs: 5 },
  }));
  const found = await here(`echo '${JSON.stringify({ machines })}'`).list(signal());
  expect(found.map(({ providerId }) => providerId)).toEqual(["i-0", "i-1"]);
});

it("tells a notice that a machine is taken away soon", async () => {
  const machine = `{"providerId":"i-1","name":"web","state":"running","createdAtMs":5,"noticeS":5}`;
  expect(await here(`echo '{"machines":[${machine}]}'`).list(signal())).toMatchObject([{ noticeS: 5 }]);
});

it.each([
  [`echo '{"error":"sold_out","message":"none left"}'`, "sold_out"],
  [`echo '{"error":"rate_limited","message":"slow","retryAfterMs":5}'; exit 1`, "rate_limited"],
  ["exit 3", "ambiguous"],
  ["kill -9 $$", "ambiguous"],
  ["exec /nowhere/at/all", "ambiguous"],
])("takes an answer for what it is: %s", async (line, reason) => {
  expect(await destroyed(line)).toBe(reason);
});

it("is asked again after an hour at most, whatever a program says: nothing would be returned until then", async () => {
  const line = `echo '{"error":"refused","message":"no","retryAfterMs":1e300}'`;
  await expect(here(line).list(signal())).rejects.toMatchObject({ reason: "refused", retryAfterMs: 3_600_000 });
});

it("takes an answer of another form for none", async () => {
  await expect(here("echo '{}'").list(signal())).rejects.toMatchObject({ reason: "ambiguous" });
  await expect(here("echo yes").list(signal())).rejects.toThrow("answered what can't be read");
});

it("kills what takes too long, with all that it started", async () => {
  expect(await destroyed("sleep 60 & wait", 100)).toBe("timeout");
});

it("doesn't wait for what a program leaves running", async () => {
  expect(await destroyed("sleep 20 & echo '{}'")).toBe("done");
});

it("logs what a program says on standard error", async () => {
  const said: string[] = [];
  await here("echo 'a word' >&2; echo '{}'", said).destroy("i-1", signal());
  expect(said).toStrictEqual([expect.stringContaining("a word")]);
});

it("logs no argument of a program: it may be a secret", async () => {
  const said: string[] = [];
  await here("echo 'a word' >&2; echo '{}' # a-secret", said).destroy("i-1", signal());
  expect(said).toStrictEqual(["sh: a word"]);
});
