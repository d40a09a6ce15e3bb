import { boundedCache } from '../platform/bounded-cache.js';
import { deriveAddress } from '../bitcoin/descriptors/derive-script.js';
import { storedDescriptor } from '../bitcoin/descriptors/stored-descriptor.js';
import type { NetworkName } from '../bitcoin/network.js';
import type { DerivedAddress } from '../domain/wallet/issue-address.js';

/** Derived addresses kept: some hundred bytes each, and about a millisecond to make. */
const MAX_ADDRESSES = 50_000;

/** Addresses of descriptors; derived once, because an address is looked at before it is handed out. */
export class AddressBook {
  readonly #derived = boundedCache<string, DerivedAddress>(MAX_ADDRESSES);

  constructor(private readonly network: NetworkName) {}

  at(descriptor: string, index: number): DerivedAddress {
    const key = `${index}:${descriptor}`;
    let derived = this.#derived.get(key);
    if (derived === undefined) {
      derived = deriveAddress(storedDescriptor(descriptor, this.network), index, this.network);
      this.#derived.set(key, derived);
    }
    return derived;
  }
}
