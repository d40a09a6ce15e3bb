import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { SourceError } from '../block-source.js';
import type { RpcEndpoint } from './rpc-endpoint.js';
import type { Timers } from './timers.js';

export interface PostOptions {
  endpoint: RpcEndpoint;
  body: string;
  connectTimeoutMs: number;
  answerTimeoutMs: number;
  maxAnswerBytes: number;
  timers: Timers;
  /** Calls back when what is under way must be broken off. Returns the way to forget it. */
  onClose: (callback: () => void) => () => void;
}

export interface Posted {
  status: number;
  body: Buffer;
}

/** What happened on the wire, in the facts of a SourceError. */
export type WireTrouble =
  'refused' | 'unreachable' | 'connect-timeout' | 'answer-timeout' | 'reset' | 'answer-too-large' | 'closed';

/**
 * Posts one request on a connection of its own: btcd closes after every answer, and a connection that the node closes
 * while it is taken up again looks like a node that died.
 *
 * @throws SourceError `unavailable`, with `wire` and with `maybeApplied` in its facts: false only when the node cannot have
 *   seen the request
 */
export function post(options: PostOptions): Promise<Posted> {
  const { endpoint, body, timers } = options;
  return new Promise((resolve, reject) => {
    let connected = false;
    let trouble: WireTrouble | undefined;
    let stopTimer = (): void => undefined;
    let stopListening = (): void => undefined;
    const finish = (): void => {
      stopTimer();
      stopListening();
    };
    const fail = (wire: WireTrouble, cause?: unknown): void => {
      finish();
      reject(unavailable(options, wire, connected, cause));
    };
    const stop = (wire: WireTrouble): void => {
      trouble ??= wire;
      request.destroy();
      fail(wire);
    };
    const request = open(endpoint, body);
    request.on('error', (error: NodeJS.ErrnoException) => fail(trouble ?? wireTroubleOf(error, connected), error));

    request.once('socket', (socket) => {
      socket.once(endpoint.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true;
        stopTimer();
        stopTimer = timers.after(options.answerTimeoutMs, () => stop('answer-timeout'));
      });
    });
    request.once('response', (response) => {
      collect(response, options.maxAnswerBytes).then(
        (answer) => {
          if (answer === 'too-large') return stop('answer-too-large');
          finish();
          resolve({ status: response.statusCode ?? 0, body: answer });
        },
        (error: unknown) => fail(trouble ?? 'reset', error),
      );
    });
    stopListening = options.onClose(() => stop('closed'));
    stopTimer = timers.after(options.connectTimeoutMs, () => stop('connect-timeout'));
    request.end(body);
  });
}

function open(endpoint: RpcEndpoint, body: string): ClientRequest {
  const send = endpoint.protocol === 'https:' ? httpsRequest : httpRequest;
  return send({
    hostname: endpoint.hostname,
    port: endpoint.port,
    path: endpoint.path,
    method: 'POST',
    agent: false,
    headers: {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(endpoint.authorization === undefined ? {} : { authorization: endpoint.authorization }),
    },
  });
}

async function collect(response: IncomingMessage, maxBytes: number): Promise<Buffer | 'too-large'> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) return 'too-large';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function wireTroubleOf(error: NodeJS.ErrnoException, connected: boolean): WireTrouble {
  if (error.code === 'ECONNREFUSED') return 'refused';
  return connected ? 'reset' : 'unreachable';
}

const SENTENCES: Record<WireTrouble, string> = {
  refused: 'refuses connections',
  unreachable: 'cannot be reached',
  'connect-timeout': 'does not take a connection in time',
  'answer-timeout': 'does not answer in time',
  reset: 'broke the connection off before its answer was complete',
  'answer-too-large': 'answers with more than is allowed',
  closed: 'is no longer asked: the source is being closed',
};

function unavailable({ endpoint }: PostOptions, wire: WireTrouble, maybeApplied: boolean, cause: unknown): SourceError {
  const facts = { wire, node: endpoint.display, maybeApplied };
  return new SourceError('unavailable', `The Bitcoin node at ${endpoint.display} ${SENTENCES[wire]}.`, facts, {
    cause,
  });
}
