/**
 * Everything the built-in chain bounds, and why. What one block may hold is in `parameters.ts`: those are rules of Bitcoin,
 * these are ours (and the relay rules of Bitcoin Core's default configuration).
 */

/** Blocks that one call may mine, or one reorg may take off: some seconds of work, and 10,000 blocks move the clock by half an hour. */
export const MAX_BLOCKS_PER_CALL = 10_000;

/** Blocks kept in all, stale ones too: the index is in memory, at about 1 KiB for each. */
export const MAX_STORED_BLOCKS = 200_000;

/** Mined in one go before other work of the process gets its turn: about 30 ms. */
export const BLOCKS_PER_TURN = 250;

/** Serialised transactions in the mempool: several full blocks. */
export const MAX_MEMPOOL_BYTES = 32 * 1024 * 1024;

/** A change log of the mempool is written anew when it is this much larger than what it describes. */
export const MEMPOOL_LOG_SLACK_BYTES = 4 * 1024 * 1024;

/** policy.h, `MAX_STANDARD_TX_WEIGHT`. */
export const MAX_STANDARD_TRANSACTION_WEIGHT = 400_000;

/** policy.h, `MAX_STANDARD_TX_SIGOPS_COST`. */
export const MAX_STANDARD_SIGOPS_COST = 16_000;

/** policy.h, `MIN_STANDARD_TX_NONWITNESS_SIZE`: 64 bytes can be mistaken for two nodes of a Merkle tree (CVE-2017-12842). */
export const MIN_TRANSACTION_BYTES = 65;

/** Versions that Core and btcd both relay. Version 3 has rules of its own (BIP431) that are not built here. */
export const MAX_STANDARD_VERSION = 2;

/** A scriptSig longer than this is not relayed (policy.h, `MAX_STANDARD_SCRIPTSIG_SIZE`). */
export const MAX_STANDARD_SCRIPT_SIG_BYTES = 1_650;

/** OP_RETURN, two pushes of overhead and 80 bytes: what every version of Core and btcd relays. */
export const MAX_DATA_OUTPUT_BYTES = 83;

/** Unconfirmed transactions that a new one may build on (policy.h, `DEFAULT_ANCESTOR_LIMIT`, itself counted). */
export const MAX_UNCONFIRMED_CHAIN = 25;

/** Transactions that one replacement may throw out (rbf.h, `MAX_REPLACEMENT_CANDIDATES`). */
export const MAX_REPLACED_TRANSACTIONS = 100;

/** Satoshis per virtual byte to be relayed, and for a replacement to pay on top for its own size. */
export const MIN_RELAY_SATS_PER_VBYTE = 1n;

/** What the miner's own payments pay. */
export const PAYMENT_SATS_PER_VBYTE = 2n;

/** Inputs of one payment: keeps it well below the weight limit. 500 coins are signed in about a second. */
export const MAX_PAYMENT_INPUTS = 500;

/** A new chain begins with this many blocks, so that the first payment does not have to wait for a coin to mature. */
export const DEFAULT_PREMINED_BLOCKS = 110;

/** Premined blocks stand this far apart, ending now, so that a chart of a new chain looks like one. */
export const PREMINED_SPACING_SECONDS = 600;

/** Calls that wait for their turn on one chain: more means that something calls without waiting for answers. */
export const MAX_QUEUED_CALLS = 1_000;
