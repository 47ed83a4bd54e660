/** What a call of the dialect does, and what it is given: each answers its JSON. */
import type { DialectRequest } from "../../contract/kafka-requests.ts";
import type { Env } from "../../env.ts";
import type { LogClient } from "../../log/client.ts";
import type { Principal } from "./auth.ts";

export type Given = { request: DialectRequest; principal: Principal; log: LogClient; env: Env };
export type Call = (given: Given) => Promise<unknown>;

/** For what has nothing to say: to the dialect's client an empty answer is a failure. */
export const SUCCESS = { result: "Success", status: 200 };
