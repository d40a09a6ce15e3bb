/** The networks a ledger can follow. The name is part of the chain's stream: `chain-<network>`. */
export type NetworkName = 'regtest' | 'signet' | 'testnet4' | 'mainnet';

export const NETWORK_NAMES: readonly NetworkName[] = ['regtest', 'signet', 'testnet4', 'mainnet'];
