/** The events of a prediction, until it has ended. A connection that breaks off is taken up where it was. */
import { setTimeout as sleep } from "node:timers/promises";
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { EventSourceMessage } from "eventsource-parser/stream";
import { Refusal } from "./client.ts";
import type { Client } from "./client.ts";
import { segment } from "./context.ts";
import { CliError, exitCodes } from "./errors.ts";

const TRIES = 5;
const WAIT_MS = 500;

/** Ends behind `done`. Throws when the stream can't be taken up again. */
export async function* eventsOf(client: Client, id: string, signal?: AbortSignal): AsyncGenerator<EventSourceMessage> {
  let lastId: string | null = null;
  let wasOpen = false;
  for (let failures = 0; failures < TRIES; failures += 1) {
    try {
      const answer = await client.open("GET", `/v1/predictions/${segment(id)}/stream`, {
        headers: { accept: "text/event-stream", ...(lastId === null ? {} : { "last-event-id": lastId }) },
        ...(signal === undefined ? {} : { signal }),
      });
      wasOpen = true;
      for await (const message of readEvents(answer)) {
        lastId = message.id ?? lastId;
        failures = 0;
        yield message;
        if (message.event === "done") return;
      }
    } catch (error) {
      if (signal?.aborted === true || !wasOpen) throw error;
      // Other refusals would be the same again; a gateway that is away may be back soon, and there may be room again.
      const mayPass = error instanceof Refusal && error.code === "too_many_streams";
      if (error instanceof CliError && error.exitCode !== exitCodes.unreachable && !mayPass) throw error;
    }
    await sleep(WAIT_MS);
  }
  throw new CliError(`the stream of ${id} broke off`, exitCodes.unreachable, `\`edgeplane predictions show ${id}\``);
}

function readEvents({ body }: Response): ReadableStream<EventSourceMessage> | [] {
  return body === null ? [] : body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
}
