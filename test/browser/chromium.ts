/**
 * A Chromium without a window, driven by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/.
 * What a page complains of, whoever notices it, is kept.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as z from "zod";

/** Answers have `id`, events `method`. */
const MessageSchema = z.looseObject({
  id: z.number().optional(),
  method: z.string().optional(),
  params: z.record(z.string(), z.unknown()).optional(),
  result: z.record(z.string(), z.unknown()).optional(),
  error: z.looseObject({ message: z.string() }).optional(),
});
type Message = z.output<typeof MessageSchema>;
const TargetSchema = z.looseObject({ targetId: z.string() });
const SessionSchema = z.looseObject({ sessionId: z.string() });
const NavigatedSchema = z.looseObject({ errorText: z.string().optional() });
const EvaluatedSchema = z.looseObject({
  result: z.looseObject({ value: z.unknown().optional() }),
  exceptionDetails: z.unknown().optional(),
});
const CalledSchema = z.looseObject({ type: z.string() });
const EntrySchema = z.looseObject({ entry: z.looseObject({ level: z.string() }) });

export type Page = {
  /** Errors and warnings of the console, exceptions, and what its policy refused, as JSON. */
  complaints: string[];
  /** Goes to `url`; ends once it has loaded. */
  open(url: string): Promise<void>;
  /** Runs `expression` in the page, and answers its value as JSON has it; a promise is waited for. */
  evaluate(expression: string): Promise<unknown>;
  /** Types `text` into the empty field that has the id, as a keyboard does. */
  type(id: string, text: string): Promise<void>;
  /** Clicks on the middle of the first element that `selector` finds, as a mouse does. */
  click(selector: string): Promise<void>;
  /** Shows it as a phone does whose screen is so wide, in CSS pixels. */
  asPhone(widthPx: number): Promise<void>;
  /** Saves downloads in `dir`. */
  saveIn(dir: string): Promise<void>;
};
export type Browser = { newPage(): Promise<Page>; stop(): Promise<void> };

export async function startChromium(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), "edgeplane-chromium-"));
  const flags = ["--headless=new", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "--no-first-run"];
  // CI is root in a container, where Chromium's own sandbox can't be made; /dev/shm is small there.
  const contained = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"];
  const child = spawn("chromium", [...flags, ...contained, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  };
  try {
    const wire = await connect(await Promise.race([addressOf(child), failed(ended)]));
    return { newPage: () => newPage(wire), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Where it says on stderr that it listens. */
async function addressOf({ stderr }: ChildProcess): Promise<string> {
  if (stderr === null) throw new Error("chromium has no stderr");
  const lines = createInterface({ input: stderr });
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      said.push(line);
      const address = /^DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
    lines.on("close", () => reject(new Error(`chromium ended: ${said.slice(-10).join("\n")}`)));
  });
}

async function failed(ended: Promise<unknown>): Promise<never> {
  await ended;
  throw new Error("chromium ended before it listened");
}

type Params = Record<string, unknown>;
type Wire = {
  send<T extends z.ZodType>(method: string, params: Params, result: T, sessionId?: string): Promise<z.output<T>>;
  onEvent(sessionId: string, heard: (method: string, params: Params) => void): void;
};

async function connect(address: string): Promise<Wire> {
  const socket = new WebSocket(address);
  const waiting = new Map<number, { resolve(message: Message): void; reject(error: Error): void }>();
  const listeners = new Map<string, (method: string, params: Params) => void>();
  let last = 0;
  socket.addEventListener("message", ({ data }) => {
    const message = MessageSchema.parse(JSON.parse(String(data)));
    if (message.id !== undefined) {
      waiting.get(message.id)?.resolve(message);
      waiting.delete(message.id);
    } else if (message.method !== undefined) {
      listeners.get(String(message["sessionId"]))?.(message.method, message.params ?? {});
    }
  });
  socket.addEventListener("close", () => {
    for (const { reject } of waiting.values()) reject(new Error("chromium has gone"));
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error(`nobody listens at ${address}`)));
  });
  return {
    async send(method, params, result, sessionId) {
      const id = (last += 1);
      const answer = new Promise<Message>((resolve, reject) => void waiting.set(id, { resolve, reject }));
      socket.send(JSON.stringify({ id, method, params, sessionId }));
      const { error, result: value } = await answer;
      if (error !== undefined) throw new Error(`${method}: ${error.message}`);
      return result.parse(value);
    },
    onEvent: (sessionId, heard) => void listeners.set(sessionId, heard),
  };
}

async function newPage(wire: Wire): Promise<Page> {
  const { targetId } = await wire.send("Target.createTarget", { url: "about:blank" }, TargetSchema);
  const { sessionId } = await wire.send("Target.attachToTarget", { targetId, flatten: true }, SessionSchema);
  const send = <T extends z.ZodType>(method: string, params: Params, result: T) =>
    wire.send(method, params, result, sessionId);
  const complaints: string[] = [];
  let onLoaded = (): void => {};
  wire.onEvent(sessionId, (method, params) => {
    if (method === "Page.loadEventFired") onLoaded();
    if (isComplaint(method, params)) complaints.push(JSON.stringify(params));
  });
  for (const domain of ["Page", "Runtime", "Log"]) await send(`${domain}.enable`, {}, z.unknown());

  const evaluate = async (expression: string): Promise<unknown> => {
    const how = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await send("Runtime.evaluate", how, EvaluatedSchema);
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return result.value;
  };
  return {
    complaints,
    async open(url) {
      const nextLoad = () => new Promise<void>((resolve) => (onLoaded = resolve));
      let loaded = nextLoad();
      const { errorText } = await send("Page.navigate", { url }, NavigatedSchema);
      if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
      // The empty page before may tell of its own load late; what is asked of it may be lost with it.
      const where = async () => evaluate("`${location.href} ${document.readyState}`").catch(() => "");
      for (;;) {
        await loaded;
        loaded = nextLoad();
        if ((await where()) === `${url} complete`) return;
      }
    },
    evaluate,
    async type(id, text) {
      await evaluate(`document.getElementById(${JSON.stringify(id)}).select()`);
      await send("Input.insertText", { text }, z.unknown());
    },
    async click(selector) {
      const element = `document.querySelector(${JSON.stringify(selector)})`;
      const middle = `(({ x, y, width, height }) => ({ x: x + width / 2, y: y + height / 2 }))`;
      const at = await evaluate(`${element}.scrollIntoView(), ${middle}(${element}.getBoundingClientRect())`);
      const button = { ...z.object({ x: z.number(), y: z.number() }).parse(at), button: "left", clickCount: 1 };
      for (const type of ["mousePressed", "mouseReleased"])
        await send("Input.dispatchMouseEvent", { type, ...button }, z.unknown());
    },
    async asPhone(width) {
      const screen = { width, height: 2 * width, deviceScaleFactor: 2, mobile: true };
      await send("Emulation.setDeviceMetricsOverride", screen, z.unknown());
      // What is clicked must be where it stays: the page hears of its screen after the answer.
      const hears = `const look = () => (screen.width === ${width} ? resolve() : setTimeout(look, 10)); look();`;
      await evaluate(`new Promise((resolve) => { ${hears} })`);
    },
    async saveIn(downloadPath) {
      await wire.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath }, z.unknown());
    },
  };
}

function isComplaint(method: string, params: Params): boolean {
  if (method === "Runtime.exceptionThrown") return true;
  if (method === "Runtime.consoleAPICalled")
    return ["error", "warning", "assert"].includes(CalledSchema.parse(params).type);
  return method === "Log.entryAdded" && ["error", "warning"].includes(EntrySchema.parse(params).entry.level);
}
