/** One account's client: every answer that it gets is written down, with all of its text. */
import * as z from "zod";

/** `sentAt` and `answeredAt` are milliseconds since the epoch. `status` 0: the client hung up. */
export type Answer = {
  account: string;
  sentAt: number;
  answeredAt: number;
  status: number;
  code: string | null;
  headers: Headers;
  text: string;
};

export const ViewSchema = z.looseObject({
  id: z.string(),
  model: z.string(),
  status: z.string(),
  output: z.unknown(),
  error: z.string().nullable(),
  error_code: z.string().nullable(),
  logs: z.string().default(""),
  created_at: z.string(),
  started_at: z.string().nullable(),
  completed_at: z.string().nullable(),
  attempt: z.number(),
});
export type View = z.infer<typeof ViewSchema>;
const PageSchema = z.looseObject({ results: z.array(ViewSchema), next: z.string().nullable() });
const ProblemSchema = z.looseObject({ code: z.string() });

/** Longer than any answer takes. */
const LIMIT_MS = 90_000;

export type Client = ReturnType<typeof createClient>;

export function createClient(url: string, account: string, key: string, answers: Answer[]) {
  async function call(method: string, path: string, body?: object, more: More = {}): Promise<Answer> {
    const sentAt = Date.now();
    const one = { account, sentAt, code: null };
    let text = "";
    try {
      const answer = await fetch(new URL(path, url), {
        method,
        signal: AbortSignal.timeout(LIMIT_MS),
        ...more,
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...more.headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const decoder = new TextDecoder();
      const pieces: AsyncIterable<Uint8Array> | null = answer.body;
      for await (const piece of pieces ?? []) text += decoder.decode(piece, { stream: true });
      const { status, headers } = answer;
      const code = answer.ok ? null : ProblemSchema.parse(JSON.parse(text)).code;
      return note({ ...one, answeredAt: Date.now(), status, code, headers, text });
    } catch (error) {
      if (more.signal?.aborted !== true) throw error;
      return note({ ...one, answeredAt: Date.now(), status: 0, headers: new Headers(), text });
    }
  }

  function note(answer: Answer): Answer {
    answers.push(answer);
    return answer;
  }

  return {
    account,
    call,

    /** `headers` over `Prefer: respond-async`; `body` beside the input. */
    predict(model: string, input: object, { headers = {}, body = {}, signal = null }: Asked = {}): Promise<Answer> {
      const init = { headers: { prefer: "respond-async", ...headers }, ...(signal === null ? {} : { signal }) };
      return call("POST", `/v1/models/local/${model}/predictions`, { input, ...body }, init);
    },

    /** Polls until it has ended. */
    async ended(id: string): Promise<View> {
      for (;;) {
        const view = viewOf(await call("GET", `/v1/predictions/${id}`));
        if (hasEnded(view)) return view;
      }
    },

    /** All that it ever had, newest first. */
    async all(): Promise<View[]> {
      const views: View[] = [];
      let path: string | null = "/v1/predictions?limit=100";
      while (path !== null) {
        const page: z.infer<typeof PageSchema> = PageSchema.parse(JSON.parse((await call("GET", path)).text));
        views.push(...page.results);
        path = page.next;
      }
      return views;
    },
  };
}

type More = { headers?: Record<string, string>; signal?: AbortSignal };
type Asked = { headers?: Record<string, string>; body?: object; signal?: AbortSignal | null };

export function viewOf({ status, text }: Answer): View {
  if (status < 200 || status > 299) throw new Error(`no prediction: ${status} ${text.slice(0, 300)}`);
  return ViewSchema.parse(JSON.parse(text));
}

export function hasEnded({ status }: View): boolean {
  return status !== "starting" && status !== "processing";
}
