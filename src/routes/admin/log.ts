/** `/admin/v1/log`: which log jobs go to, and moving it while everything runs. */
import { Hono } from "hono";
import * as z from "zod";
import { EdgeplaneError } from "../../contract/errors.ts";
import type { Env } from "../../env.ts";
import { noteLogSetting } from "../../log/current-log.ts";
import { probeLog, problemFields } from "../../log/probe.ts";
import type { LogProblem } from "../../log/probe.ts";
import { readPublishSettings } from "../../log/publish-settings.ts";
import { callObject, objectNamed } from "../../object-calls.ts";
import { addLogSetting, knownLanes, readLogSetting, SealedLogError } from "../../registry/log-settings.ts";
import type { LogChoice, LogSetting } from "../../registry/log-settings.ts";
import { listLogProblems } from "../../registry/pool-log-problems.ts";
import { within } from "../../shard/within.ts";
import type { App } from "../app.ts";
import { json, operation } from "../operation.ts";

const MAX_BODY_BYTES = 16 * 1024;
/** A lane waits 3 s for a log that holds a produce; one that takes longer than this counts as not told. */
const LANE_LIMIT_MS = 6000;

const AccessSchema = z.strictObject({ username: z.string().min(1).max(200), password: z.string().min(1).max(500) });
const ChoiceSchema = z.discriminatedUnion("driver", [
  z.strictObject({ driver: z.literal("embedded") }),
  z.strictObject({
    driver: z.literal("upstash"),
    url: z
      .url({ protocol: /^https?$/, error: "an http(s) address, such as https://bridge.example.com/kafka" })
      .meta({ description: "The base of a log that speaks the Upstash Kafka dialect, such as a bridge's `/kafka`." }),
    ...AccessSchema.shape,
    pool: AccessSchema.optional().meta({
      description:
        "What pools read it with; they get it through their control channel. Not for pools with a log of their own settings.",
    }),
  }),
]);
const ProblemSchema = z.object({
  field: z.enum(problemFields),
  message: z.string(),
});
const LogSchema = z.object({
  epoch: z.number(),
  driver: z.enum(["embedded", "upstash"]),
  url: z.string().nullable(),
  username: z.string().nullable(),
  pool_username: z.string().nullable(),
  since: z.string().nullable().meta({ description: "Null: the environment says so (`LOG_URL`), not a move." }),
  published: z.array(z.string()),
  problems: z
    .array(ProblemSchema.extend({ field: z.string() }))
    .meta({ description: "What is wrong with the log (asked with `probe=true` only), and with `PUBLISH_TOPICS`." }),
  unread: z
    .array(z.object({ pool: z.string(), lane: z.string(), problem: z.string(), since: z.string() }))
    .meta({ description: "Pools that say that they can't read it, heard within 15 minutes, the longest first." }),
});
const MoveSchema = LogSchema.extend({
  moved: z.boolean().meta({ description: "False: it was there already." }),
  lanes: z.array(
    z.object({
      lane: z.string(),
      handed_on: z
        .number()
        .nullable()
        .meta({ description: "Null: it could not be told now, and follows within 10 s of its next job." }),
      pools: z.number(),
    }),
  ),
});

export function logRoutes(): Hono<App> {
  const routes = new Hono<App>();

  routes.get(
    "/",
    operation(
      {
        id: "getLog",
        tag: "Operator",
        summary: "Which log jobs go to",
        access: "operator",
        query: z.object({
          probe: z
            .enum(["true", "false"])
            .optional()
            .meta({ description: "`true`: ask the log whether it takes jobs, and lets pools read them." }),
        }),
        answers: { 200: json(LogSchema, "The log.") },
        errors: ["conflict"],
      },
      async (c, { query }) => {
        const setting = await readLogSetting(c.env).catch(sealed);
        if (setting instanceof SealedLogError) throw new EdgeplaneError("conflict", setting.message);
        const problem = query.probe === "true" ? await problemOf(c.env, setting.choice) : null;
        return c.json(await showLog(c.env, setting, problem));
      },
    ),
  );

  routes.put(
    "/",
    operation(
      {
        id: "moveLog",
        tag: "Operator",
        summary: "Move to another log",
        description:
          "Asks the log first whether it takes jobs of the edge's user and lets the pools' user read them, and refuses with the reason where it doesn't. Then the epoch is raised, each lane hands on again what nobody has claimed, and pools read both logs for 60 s.",
        access: "operator",
        body: {
          schema: ChoiceSchema,
          maxBytes: MAX_BODY_BYTES,
          examples: {
            bridge: { driver: "upstash", url: "https://bridge.example.com/kafka", username: "edge", password: "…" },
            back: { driver: "embedded" },
          },
        },
        answers: { 200: json(MoveSchema, "The log, and what the lanes did.") },
      },
      async (c, { body }) => {
        const choice = choiceOf(body);
        const before = await readLogSetting(c.env).catch(sealed);
        if (!(before instanceof SealedLogError) && JSON.stringify(before.choice) === JSON.stringify(choice)) {
          return c.json({ ...(await showLog(c.env, before, null)), moved: false, lanes: [] });
        }
        const problem = await problemOf(c.env, choice);
        if (problem !== null) throw refusal(problem);
        const setting = await addLogSetting(c.env, choice);
        noteLogSetting(c.env, setting);
        const lanes = await tellLanes(c.env, setting);
        return c.json({ ...(await showLog(c.env, setting, null)), moved: true, lanes });
      },
    ),
  );

  return routes;
}

/** Where the log can't be read for a new secret, the operator must be told, and be able to set another. */
function sealed(error: unknown): SealedLogError {
  if (error instanceof SealedLogError) return error;
  throw error;
}

async function problemOf(env: Env, choice: LogChoice): Promise<LogProblem | null> {
  return probeLog(choice, await knownLanes(env.DB), [...readPublishSettings(env).topics]);
}

/** A lane that can't be told now sees the new epoch when it produces next. */
async function tellLanes(env: Env, setting: LogSetting) {
  const lanes = await knownLanes(env.DB);
  return Promise.all(
    lanes.map(async (lane) => {
      try {
        const told = callObject(async () => objectNamed(env.LANE, lane).moveLog(lane, setting));
        const { handedOn, pools } = await within(told, LANE_LIMIT_MS);
        return { lane, handed_on: handedOn, pools };
      } catch {
        return { lane, handed_on: null, pools: 0 };
      }
    }),
  );
}

function choiceOf(body: z.output<typeof ChoiceSchema>): LogChoice {
  if (body.driver === "embedded") return body;
  const { driver, url, username, password, pool = null } = body;
  return { driver, url, producer: { username, password }, pool };
}

function refusal({ field, message }: LogProblem): EdgeplaneError {
  return new EdgeplaneError("invalid_input", `- ${field}: ${message}\n`, {
    invalidFields: [{ field, description: message }],
  });
}

async function showLog(
  env: Env,
  { epoch, since, choice }: LogSetting,
  problem: LogProblem | null,
): Promise<z.infer<typeof LogSchema>> {
  const unread = await listLogProblems(env.DB);
  const publish = readPublishSettings(env);
  const wrong = publish.problem === null ? [] : [{ field: "PUBLISH_TOPICS", message: publish.problem }];
  const other = choice.driver === "upstash" ? choice : null;
  return {
    epoch,
    driver: choice.driver,
    url: other?.url ?? null,
    username: other?.producer.username ?? null,
    pool_username: other?.pool?.username ?? null,
    since: since === 0 ? null : new Date(since).toISOString(),
    published: [...publish.topics],
    problems: [...(problem === null ? [] : [problem]), ...wrong],
    unread: unread.map((one) => ({ ...one, since: new Date(one.since).toISOString() })),
  };
}
