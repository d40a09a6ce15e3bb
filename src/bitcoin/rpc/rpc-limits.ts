/** What the RPC client bounds, and why. */

/** A node in the same rack connects in a millisecond, one across an ocean in 0.3 s. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;

/** From the last byte sent to the last byte received: a busy node may take seconds for a batch of blocks, a hanging one for ever. */
export const DEFAULT_ANSWER_TIMEOUT_MS = 60_000;

/** Seven blocks of the greatest length there is, as hex. */
export const DEFAULT_MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** What one batch of blocks aims at: large enough to fill a connection, small enough not to hold a node's thread for long. */
export const BLOCK_BATCH_BYTES = 16 * 1024 * 1024;

/** Blocks asked for in one batch, however small: Bitcoin Core reads each from disk while others wait. */
export const MAX_BLOCKS_PER_BATCH = 200;

/** Blocks in the first batch, when their size is not known: 4 × 8 MB of hex at the most. */
export const FIRST_BATCH_BLOCKS = 4;

/** Headers asked for in one batch: half a megabyte of answer. */
export const MAX_HEADERS_PER_BATCH = 2_000;

/** How often the node is asked for its best block. Both Bitcoin Core and btcd answer it from memory. */
export const DEFAULT_POLL_INTERVAL_MS = 1_000;

/** How much of an answer that makes no sense is kept for the log. */
export const QUOTED_ANSWER_CHARACTERS = 200;

/** Requests at one time: Bitcoin Core works on 4 unless told otherwise (`rpcthreads`), btcd takes 10 clients (`rpcmaxclients`). */
export const MAX_REQUESTS_AT_ONCE = 4;

/** Requests that wait for their turn: more means that something asks without waiting for answers. */
export const MAX_WAITING_REQUESTS = 1_000;
