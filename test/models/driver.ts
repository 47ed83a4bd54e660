/**
 * Drives one model process over PROTOCOL.md directly, so that a model is tested without the pool: spawn, `loaded`,
 * `ready`, runs.
 *
 * State: starting → ready → closed. `run` sends one batch to a slot and resolves with everything that came until
 * `idle`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { pythonCache } from "../python-cache.ts";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Message = { [key: string]: Json };

export const JsonSchema: z.ZodType<Json> = z.json();

const pythonDir = fileURLToPath(new URL("../../gpu-pool/python", import.meta.url));
const modelsDir = fileURLToPath(new URL(".", import.meta.url));

export type DriverOptions = {
  slots?: number;
  python?: string;
  env?: Record<string, string>;
  /** Wait for `ready`; off for models whose setup fails. */
  waitReady?: boolean;
};

export type RunItem = { id?: string; input?: Json; inputFile?: string; stream?: boolean; context?: Message };

/** What one item of a run came to. */
export type ItemResult = {
  status: string;
  output: Json;
  error: string | null;
  logs: string;
  chunks: Json[];
  metrics: Message;
  batchError: boolean;
  seconds: number;
};

export function isObject(value: unknown): value is Message {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readFrames(socket: Socket, onMessage: (message: Message) => void): void {
  let buffer: Buffer = Buffer.alloc(0);
  socket.on("data", (data: Buffer) => {
    buffer = buffer.length === 0 ? data : Buffer.concat([buffer, data]);
    while (buffer.length >= 4) {
      const end = 4 + buffer.readUInt32BE(0);
      if (buffer.length < end) return;
      const value: unknown = JSON.parse(buffer.subarray(4, end).toString("utf8"));
      buffer = buffer.subarray(end);
      if (!isObject(value)) throw new Error("a frame is not an object");
      onMessage(value);
    }
  });
  socket.on("error", () => {});
}

export function frameOf(message: Message): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

function socketAt(child: ChildProcess, fd: number): Socket {
  const stream = child.stdio[fd];
  if (!(stream instanceof Socket)) throw new Error(`no socket at ${fd}`);
  return stream;
}

/** One running model process. */
export class ModelProcess {
  readonly scratchDir: string;
  readonly control: Message[] = [];
  readonly exited: Promise<number | null>;
  printed = "";
  readonly child: ChildProcess;
  #controlSocket: Socket;
  #slots: Socket[] = [];
  #slotListeners: ((message: Message) => void)[] = [];
  #controlListeners = new Set<() => void>();
  #batch = 0;
  #nextId = 0;

  constructor(modelDir: string, options: DriverOptions) {
    const slots = options.slots ?? 1;
    this.scratchDir = mkdtempSync(join(process.env["EDGEPLANE_TEST_TMP"] ?? tmpdir(), "edgeplane-model-"));
    mkdirSync(this.scratchDir, { recursive: true });
    this.child = spawn(
      options.python ?? process.env["EDGEPLANE_TEST_PYTHON"] ?? "python3",
      ["-u", "-m", "edgeplane_child"],
      {
        cwd: modelDir,
        detached: true,
        stdio: ["ignore", "pipe", "pipe", "pipe", ...Array.from({ length: slots }, () => "pipe" as const)],
        env: {
          ...process.env,
          PYTHONPATH: pythonDir,
          ...pythonCache,
          EDGEPLANE_MODEL_DIR: modelDir,
          EDGEPLANE_SLOTS: String(slots),
          EDGEPLANE_SCRATCH_DIR: this.scratchDir,
          CUDA_VISIBLE_DEVICES: "",
          ...options.env,
        },
      },
    );
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on("data", (data: Buffer) => (this.printed += data.toString("utf8")));
    this.exited = new Promise((done) => this.child.once("exit", (code) => done(code)));
    this.#controlSocket = socketAt(this.child, 3);
    readFrames(this.#controlSocket, (message) => {
      this.control.push(message);
      for (const listener of this.#controlListeners) listener();
    });
    for (let index = 0; index < slots; index += 1) {
      const socket = socketAt(this.child, 4 + index);
      this.#slots.push(socket);
      this.#slotListeners.push(() => {});
      readFrames(socket, (message) => this.#slotListeners[index]?.(message));
    }
  }

  /**
   * The first control message of a type, now or later. Rejects when the process ends or `timeoutMs` pass before it
   * comes.
   */
  waitFor(type: string, timeoutMs = 15_000): Promise<Message> {
    return new Promise((done, fail) => {
      const look = (): void => {
        const found = this.control.find((message) => message["type"] === type);
        if (found === undefined) return;
        finish();
        done(found);
      };
      const finish = (): void => {
        clearTimeout(timer);
        this.#controlListeners.delete(look);
      };
      const give = (why: string): void => {
        finish();
        fail(
          new Error(
            `no ${type}: ${why}; control: ${JSON.stringify(this.control).slice(0, 2000)}; printed: ${this.printed.slice(-2000)}`,
          ),
        );
      };
      const timer = setTimeout(() => give("timed out"), timeoutMs);
      this.#controlListeners.add(look);
      void this.exited.then((code) => setTimeout(() => give(`exited with ${code}`), 50));
      look();
    });
  }

  sendControl(message: Message): void {
    this.#controlSocket.write(frameOf(message));
  }

  endControl(): void {
    this.#controlSocket.destroy();
  }

  /** Send one run and wait for `idle`. `onMessage` sees every message as it comes. Rejects when the process ends. */
  async run(items: RunItem[], slot = 0, onMessage: (message: Message) => void = () => {}): Promise<ItemResult[]> {
    const batch = (this.#batch += 1);
    const ids = items.map((item) => item.id ?? `p${(this.#nextId += 1)}`);
    const results = new Map<string, ItemResult>();
    const empty = (): ItemResult => ({
      status: "",
      output: null,
      error: null,
      logs: "",
      chunks: [],
      metrics: {},
      batchError: false,
      seconds: 0,
    });
    for (const id of ids) results.set(id, empty());
    const idle = new Promise<void>((done, fail) => {
      this.#slotListeners[slot] = (message) => {
        onMessage(message);
        if (message["type"] === "idle") {
          if (message["batch"] === batch) done();
          return;
        }
        for (const [id, result] of results)
          if (message["id"] === id || message["id"] === null) this.#note(result, message);
      };
      void this.exited.then((code) =>
        setTimeout(() => fail(new Error(`the process exited with ${code}; printed: ${this.printed.slice(-2000)}`)), 50),
      );
    });
    const wire = items.map((item, index): Message => {
      const whole: Message = { id: ids[index] ?? "", stream: item.stream ?? false, context: item.context ?? {} };
      if (item.inputFile === undefined) whole["input"] = item.input ?? {};
      else whole["inputFile"] = item.inputFile;
      return whole;
    });
    this.#slots[slot]?.write(frameOf({ type: "run", batch, items: wire }));
    await idle;
    return ids.map((id) => results.get(id) ?? empty());
  }

  /** Run one prediction. */
  async predict(
    input: Json,
    item: RunItem = {},
    slot = 0,
    onMessage?: (message: Message) => void,
  ): Promise<ItemResult> {
    const [result] = await this.run([{ ...item, input }], slot, onMessage);
    if (result === undefined) throw new Error("no result");
    return result;
  }

  #note(result: ItemResult, message: Message): void {
    const value = (name: string): Json => {
      const file = message[`${name}File`];
      if (typeof file !== "string") return message[name] ?? null;
      const parsed = JsonSchema.parse(JSON.parse(readFileSync(file, "utf8")));
      rmSync(file);
      return parsed;
    };
    if (message["type"] === "log") result.logs += String(message["text"]);
    else if (message["type"] === "output") result.chunks.push(value("chunk"));
    else if (message["type"] === "metric") {
      const metrics = message["metrics"];
      if (isObject(metrics)) result.metrics = metrics;
    } else if (message["type"] === "done") {
      if (result.status !== "") throw new Error(`two done for ${String(message["id"])}`);
      result.status = String(message["status"]);
      result.output = value("output");
      result.error = typeof message["error"] === "string" ? message["error"] : null;
      result.batchError = message["batchError"] === true;
      result.seconds = Number(message["seconds"]);
    }
  }

  /** End the process and its group, and delete its scratch folder. */
  async close(): Promise<void> {
    if (this.child.pid !== undefined) {
      try {
        process.kill(-this.child.pid, "SIGKILL");
      } catch {
        this.child.kill("SIGKILL");
      }
    }
    await this.exited;
    rmSync(this.scratchDir, { recursive: true, force: true });
  }
}

/** Start the model in `test/models/<name>` (or an absolute path) and wait until it is ready. */
export async function startModel(name: string, options: DriverOptions = {}): Promise<ModelProcess> {
  const running = new ModelProcess(resolve(modelsDir, name), options);
  if (options.waitReady ?? true) {
    try {
      await running.waitFor("ready");
    } catch (error) {
      await running.close();
      throw error;
    }
  }
  return running;
}

/** Start a model, use it, close it. */
export async function withModel<T>(
  name: string,
  use: (model: ModelProcess) => Promise<T>,
  options: DriverOptions = {},
): Promise<T> {
  const running = await startModel(name, options);
  try {
    return await use(running);
  } finally {
    await running.close();
  }
}
