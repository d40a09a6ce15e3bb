import { createHash, timingSafeEqual } from 'node:crypto';

/** Who sends a request, as it is written into the metadata of events: never the key itself. */
export type Actor = string;

export const ANONYMOUS: Actor = 'anonymous';

const ACTOR_HASH_DIGITS = 12;
const BEARER = /^Bearer +([\x21-\x7e]{1,512})$/i;

/** Finds the actor of an `Authorization` header; undefined where the request must be refused with 401. */
export type Authenticate = (authorization: string | undefined) => Actor | undefined;

/**
 * Keys are compared as SHA-256 hashes, all of them, in constant time: the time says neither how much of a key was right nor
 * which one it was. Without keys everybody is `anonymous` (the configuration allows that on loopback only).
 */
export function createAuthenticate(apiKeys: readonly string[] | undefined): Authenticate {
  if (apiKeys === undefined) return () => ANONYMOUS;
  const known = apiKeys.map((key) => {
    const hash = sha256(key);
    return { hash, actor: `key:${hash.toString('hex').slice(0, ACTOR_HASH_DIGITS)}` };
  });
  return (authorization) => {
    const presented = BEARER.exec(authorization ?? '')?.[1];
    if (presented === undefined) return undefined;
    const hash = sha256(presented);
    let actor: Actor | undefined;
    for (const candidate of known) if (timingSafeEqual(candidate.hash, hash)) actor = candidate.actor;
    return actor;
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
