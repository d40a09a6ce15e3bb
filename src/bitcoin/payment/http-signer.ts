import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { MAX_SIGNED_BYTES } from './check-signed.js';
import { FatalError } from '../../platform/errors.js';
import type { PsbtSigner, SignerAnswer, SigningRequest } from './signer.js';

/** A signed PSBT in base64, and the JSON around it. */
const MAX_ANSWER_BYTES = Math.ceil((MAX_SIGNED_BYTES * 4) / 3) + 1024;
/** Of an event's `detail`. */
const MAX_DETAIL_CHARACTERS = 500;
/** Answers that say "not now" and not "never". */
const TRY_LATER = [408, 425, 429];

export interface HttpSignerOptions {
  /** Where payments are posted to. */
  url: string;
  /** Shared with the signer, which checks that a request is ours. Never logged, never sent. */
  secret: string;
  /** From the first byte sent to the last one received. */
  timeoutMs: number;
  /** Milliseconds since 1970. */
  now: () => number;
}

const answerSchema = z.object({ psbt: z.string().min(1).max(MAX_ANSWER_BYTES) });
const reasonSchema = z.object({ reason: z.string().optional(), detail: z.string().optional() });

/**
 * A signer behind HTTP: `{ payoutId, walletId, psbt }` is posted, with the time in `X-Tallystick-Time` (RFC 3339) and the HMAC-SHA256
 * of time, a dot and the body in `X-Tallystick-Signature` (hex). It answers 200 `{ psbt }`, 202 for "later", or 4xx with `{ reason }`.
 * What it answers is checked like everything that comes back signed, so the answer needs no signature of its own.
 */
export function createHttpSigner(options: HttpSignerOptions): PsbtSigner {
  const url = parseUrl(options.url);
  return { name: 'http', sign: (request) => sign(url, options, request) };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // The address itself is not repeated: it may hold a password.
  if (!url || !['http:', 'https:'].includes(url.protocol)) throw new FatalError('SIGNER_URL is not an http(s) URL.');
  if (url.username !== '' || url.password !== '') {
    throw new FatalError('SIGNER_URL may not hold user and password: requests are signed with SIGNER_SECRET.');
  }
  return url;
}

async function sign(url: URL, options: HttpSignerOptions, request: SigningRequest): Promise<SignerAnswer> {
  const { payoutId, walletId, psbt } = request;
  const body = JSON.stringify({ payoutId, walletId, psbt: Buffer.from(psbt).toString('base64') });
  const time = new Date(options.now()).toISOString();
  const signature = createHmac('sha256', options.secret).update(`${time}.${body}`).digest('hex');
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'x-tallystick-time': time,
        'x-tallystick-signature': signature,
      },
      body,
      // A signer that sends us elsewhere is not the one that was configured.
      redirect: 'error',
      signal: AbortSignal.timeout(options.timeoutMs),
    });
    const text = await readBounded(response);
    return answerOf(response.status, text);
  } catch (error) {
    return { kind: 'unavailable', detail: troubleOf(error) };
  }
}

function answerOf(status: number, text: string | undefined): SignerAnswer {
  if (text === undefined)
    return { kind: 'unavailable', detail: `The signer answers more than ${MAX_ANSWER_BYTES} bytes.` };
  if (status === 200) {
    const answer = answerSchema.safeParse(parseJson(text));
    return answer.success
      ? { kind: 'signed', signed: answer.data.psbt }
      : { kind: 'unavailable', detail: 'The signer answers 200 without a PSBT.' };
  }
  if (status === 202) return { kind: 'pending', detail: 'The signer will answer later.' };
  if (status >= 400 && status < 500 && !TRY_LATER.includes(status)) {
    return { kind: 'refused', detail: detailOf(`The signer refuses (HTTP ${status})`, text) };
  }
  return { kind: 'unavailable', detail: detailOf(`The signer fails (HTTP ${status})`, text) };
}

function detailOf(what: string, text: string): string {
  const parsed = reasonSchema.safeParse(parseJson(text));
  const reason = (parsed.success ? (parsed.data.reason ?? parsed.data.detail) : undefined) ?? text;
  const printable = reason.replace(/[^\P{C}]+/gu, ' ').trim();
  return (printable === '' ? `${what}.` : `${what}: ${printable}`).slice(0, MAX_DETAIL_CHARACTERS);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the schema says so too.
    return undefined;
  }
}

/** Undefined where it is longer than any answer can be. */
async function readBounded(response: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function troubleOf(error: unknown): string {
  if (!(error instanceof Error)) return 'The signer does not answer.';
  if (error.name === 'TimeoutError') return 'The signer does not answer in time.';
  const cause = error.cause instanceof Error ? (error.cause as NodeJS.ErrnoException) : undefined;
  return `The signer does not answer (${cause?.code ?? cause?.message ?? error.message}).`.slice(
    0,
    MAX_DETAIL_CHARACTERS,
  );
}
