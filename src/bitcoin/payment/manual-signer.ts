import type { PsbtSigner } from './signer.js';

/** Signer `none`: a person fetches the PSBT and brings the signed one back over REST, today or in a week. */
export function createManualSigner(): PsbtSigner {
  return {
    name: 'none',
    sign: () => Promise.resolve({ kind: 'pending', detail: 'Waits for the signed PSBT to be brought back.' }),
  };
}
