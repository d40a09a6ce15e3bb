import { z } from 'zod';
import { SourceError } from '../block-source.js';
import { post, type Posted } from './post.js';
import { createRequestSlots } from './request-slots.js';
import { parseRpcUrl } from './rpc-endpoint.js';
import { RpcError } from './rpc-error.js';
import {
  DEFAULT_ANSWER_TIMEOUT_MS,
  DEFAULT_CONNECT_TIMEOUT_MS,
  DEFAULT_MAX_ANSWER_BYTES,
  MAX_REQUESTS_AT_ONCE,
  MAX_WAITING_REQUESTS,
  QUOTED_ANSWER_CHARACTERS,
} from './rpc-limits.js';
import { systemTimers, type Timers } from './timers.js';

export interface RpcClientOptions {
  /** `http://user:password@host:port/`, the password percent-encoded. Never logged. */
  url: string;
  connectTimeoutMs?: number;
  answerTimeoutMs?: number;
  maxAnswerBytes?: number;
  timers?: Timers;
}

export interface RpcCall {
  method: string;
  /** Positional only: btcd answers named parameters with nothing at all. */
  params?: readonly unknown[];
}

export interface RpcClient {
  /** The node's URL without user and password. */
  readonly node: string;
  /**
   * @throws RpcError when the node refuses the call
   * @throws SourceError `unavailable`, `unauthorised` or `malformed-answer` when there is no answer of the protocol; its
   *   facts say with `maybeApplied` whether the node may have done what was asked
   */
  call(method: string, params?: readonly unknown[]): Promise<unknown>;
  /** Several calls in one request, answered in the order asked: a result, or the RpcError of that call alone. */
  batch(calls: readonly RpcCall[]): Promise<(BatchResult | RpcError)[]>;
  /** Breaks off what is under way. */
  close(): void;
}

export interface BatchResult {
  result: unknown;
}

const answerSchema = z.object({
  id: z.number().nullish(),
  result: z.unknown().optional(),
  error: z.object({ code: z.number(), message: z.string() }).nullish(),
});
type Answer = z.infer<typeof answerSchema>;

/** A client for the JSON-RPC of Bitcoin Core and btcd. It never tries again by itself: only the caller knows what is safe to repeat. */
export function createRpcClient(options: RpcClientOptions): RpcClient {
  const endpoint = parseRpcUrl(options.url);
  const slots = createRequestSlots(MAX_REQUESTS_AT_ONCE, MAX_WAITING_REQUESTS);
  const closers = new Set<() => void>();
  let closed = false;
  let lastId = 0;

  async function send(body: unknown): Promise<unknown> {
    const posted = await slots.run(() =>
      post({
        endpoint,
        body: JSON.stringify(body),
        connectTimeoutMs: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
        answerTimeoutMs: options.answerTimeoutMs ?? DEFAULT_ANSWER_TIMEOUT_MS,
        maxAnswerBytes: options.maxAnswerBytes ?? DEFAULT_MAX_ANSWER_BYTES,
        timers: options.timers ?? systemTimers,
        onClose(callback) {
          closers.add(callback);
          if (closed) queueMicrotask(callback);
          return () => closers.delete(callback);
        },
      }),
    );
    return readJson(posted, endpoint.display);
  }

  // Version 1.0 is what both speak in full: to Bitcoin Core, 2.0 would mean another form of answer.
  const envelope = ({ method, params = [] }: RpcCall) => ({ jsonrpc: '1.0', id: (lastId += 1), method, params });

  return {
    node: endpoint.display,
    async call(method, params = []) {
      const request = envelope({ method, params });
      const answer = readAnswer(await send(request), endpoint.display);
      // An error may come without an id: the node could not read it. A result may not.
      if (answer.id !== request.id && !answer.error)
        throw malformed(endpoint.display, `the answer to another call than ${method}`);
      const outcome = outcomeOf(answer, method, endpoint.display);
      if (outcome instanceof RpcError) throw outcome;
      return outcome.result;
    },
    async batch(calls) {
      // btcd calls an empty batch an invalid request.
      if (calls.length === 0) return [];
      const requests = calls.map(envelope);
      const answers = await send(requests);
      if (!Array.isArray(answers)) {
        const { error } = readAnswer(answers, endpoint.display);
        if (error) throw new RpcError('batch', error.code, error.message);
        throw malformed(endpoint.display, 'one answer to a batch of calls');
      }
      const byId = new Map(
        answers.map((answer) => readAnswer(answer, endpoint.display)).map((answer) => [answer.id, answer]),
      );
      return requests.map(({ id, method }) => {
        const answer = byId.get(id);
        if (!answer) throw malformed(endpoint.display, `no answer to ${method} in a batch`);
        return outcomeOf(answer, method, endpoint.display);
      });
    },
    close() {
      closed = true;
      for (const closer of [...closers]) closer();
    },
  };
}

const UNAUTHORISED = [401, 403];
/** Too many requests, and what proxies say when the node behind them does not answer. */
const BUSY = [429, 502, 503, 504];
/** With these the node has not looked at the call. A proxy that gave up (502, 504) says nothing about that. */
const UNTOUCHED = [401, 403, 429, 503];

function readJson({ status, body }: Posted, node: string): unknown {
  const facts = { node, status, maybeApplied: !UNTOUCHED.includes(status) };
  if (UNAUTHORISED.includes(status)) {
    throw new SourceError(
      'unauthorised',
      `The Bitcoin node at ${node} refuses user or password (HTTP ${status}).`,
      facts,
    );
  }
  const text = body.toString('utf8');
  // Bitcoin Core answers errors of the protocol with 404 and 500 and a JSON body: the body decides where it is one.
  const parsed = parseJson(text);
  if (parsed !== undefined) return parsed;
  const quoted = text.slice(0, QUOTED_ANSWER_CHARACTERS);
  if (BUSY.includes(status) || status >= 500) {
    const message = `The Bitcoin node at ${node} is too busy or failing (HTTP ${status}).`;
    throw new SourceError('unavailable', message, { ...facts, quoted });
  }
  throw malformed(node, text === '' ? 'an empty body' : 'a body that is not JSON', { ...facts, quoted });
}

function parseJson(text: string): object | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? parsed : undefined;
  } catch {
    // Empty, HTML, cut off: what it is instead is the caller's business.
    return undefined;
  }
}

function readAnswer(value: unknown, node: string): Answer {
  const parsed = answerSchema.safeParse(value);
  if (!parsed.success) throw malformed(node, 'JSON that is not an answer of JSON-RPC');
  return parsed.data;
}

function outcomeOf(answer: Answer, method: string, node: string): BatchResult | RpcError {
  const { error } = answer;
  if (error) return new RpcError(method, error.code, error.message);
  if (!('result' in answer)) throw malformed(node, `neither a result nor an error of ${method}`);
  return { result: answer.result };
}

function malformed(node: string, what: string, facts: Record<string, unknown> = {}): SourceError {
  const message = `The Bitcoin node at ${node} answered with ${what}.`;
  return new SourceError('malformed-answer', message, { node, maybeApplied: true, ...facts });
}
