import { LRUCache } from 'lru-cache';
import { invariant } from '../../platform/assert.js';
import type { NetworkName } from '../network.js';
import { parseDescriptor, type Descriptor } from './parse-descriptor.js';

/** Parsed descriptors kept; each is some hundred bytes, parsing costs some milliseconds. */
const MAX_PARSED = 10_000;

const parsed = new LRUCache<string, Descriptor>({ max: MAX_PARSED });

/** Parses a descriptor as it stands in a `WalletCreated` event: checked before it was written, so it cannot be invalid. */
export function storedDescriptor(text: string, network: NetworkName): Descriptor {
  const key = `${network}:${text}`;
  const known = parsed.get(key);
  if (known !== undefined) return known;
  const result = parseDescriptor(text, network);
  invariant(!('invalid' in result) && result.change === null, 'a stored descriptor is valid and has one path');
  parsed.set(key, result.receive);
  return result.receive;
}
