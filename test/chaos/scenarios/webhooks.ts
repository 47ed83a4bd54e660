/**
 * Receivers that hang, redirect, and answer 500, and then 200; beside them one that is well, whose messages must not
 * wait.
 */
import { startReceiver } from "../harness/receiver.ts";
import type { Answer } from "../harness/receiver.ts";
import type { Scenario } from "../harness/scenario.ts";

/** The first requests are never answered: the sender gives each 10 s. */
const HANGING = 3;
/** Enough failures in a row that the host's breaker opens. */
const FAILING = 12;

const hangs: Answer = (response, { index }) => {
  if (index >= HANGING) response.writeHead(200).end();
};
const redirects: Answer = (response, { index, tryOfKey }) => {
  if (index % 10 === 0 && tryOfKey === 0) response.writeHead(302, { location: "http://127.0.0.1:9/elsewhere" }).end();
  else response.writeHead(200).end();
};
const fails: Answer = (response, { index }) => response.writeHead(index < FAILING ? 500 : 200).end();
const well: Answer = (response) => response.writeHead(204).end();

export const webhooks: readonly Scenario[] = [
  {
    name: "webhook receivers that hang, redirect, and answer 500",
    model: "echo",
    receivers: () => Promise.all([hangs, redirects, fails, well].map(startReceiver)),
    disturb: async () => [],
  },
];
