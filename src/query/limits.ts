/** A page where the query does not say how long. */
export const DEFAULT_PAGE = 50;
/** Longest page: 500 rows of at most a few kilobytes. */
export const MAX_PAGE = 500;

/** How long a read waits for read models that are behind what it asked for. */
export const READ_WAIT_MS = 2_000;

/** Characters of a query: GraphiQL's introspection has 1,700. */
export const MAX_QUERY_LENGTH = 20_000;
/** Lexical tokens of a query: bounds what parsing and validating cost, some of which grows with the square. */
export const MAX_QUERY_TOKENS = 2_000;
/** Levels of nesting. The deepest sensible question, from a list down to a block of a transfer of a block, has 10. */
export const MAX_QUERY_DEPTH = 12;
/** Fields, with every fragment written out. */
export const MAX_QUERY_FIELDS = 1_000;
/** Fields with another name: each is another question to the database. */
export const MAX_QUERY_ALIASES = 50;
/** Fields of the query type: each is another question to the database. */
export const MAX_ROOT_FIELDS = 20;
/** Objects that a query may ask for, pages inside pages multiplied: a list of 500 with 30 rows under each. */
export const MAX_QUERY_COST = 20_000;

/** Heights of one `balances`: some 70 days of blocks, 1 MB of JSON. */
export const MAX_BALANCE_HEIGHTS = 10_000;
/** Transfers that `Block.transfers` lists; a block with more is read page by page with `transfers(filter: { blockHash })`. */
export const MAX_BLOCK_TRANSFERS = 10_000;
/** What `Block.transfers` counts as in the cost of a query: most blocks have fewer. */
export const BLOCK_TRANSFERS_COST = 50;

/** What `Payout.withdrawals` counts as: a few at most times, 500 at most. */
export const PAYOUT_WITHDRAWALS_COST = 20;
/** What `Withdrawal.history` counts as: most lives have fewer events. */
export const HISTORY_COST = 30;

/** Keys of one batched look-up. */
export const MAX_BATCH_KEYS = 1_000;
/** Text of a filter (event type, stream): as long as the log's own columns. */
export const MAX_FILTER_LENGTH = 200;

/** WebSocket connections of one process: each may hold a few states in memory. */
export const MAX_CONNECTIONS = 1_000;
/** Subscriptions of one connection. */
export const MAX_SUBSCRIPTIONS = 20;
/** Bytes of one message from a client. */
export const MAX_MESSAGE_BYTES = 64 * 1024;
/** Least time between two states of one subscription: faster than an eye, slow enough to batch a burst of commands. */
export const MIN_STATE_INTERVAL_MS = 50;
/** A client that does not take what was sent for so long is dropped. */
export const STUCK_CLIENT_MS = 30_000;
/** Between two pings; a client that has not answered one by the next is gone. */
export const PING_INTERVAL_MS = 15_000;
/** Until a new connection has said who it is. */
export const CONNECTION_INIT_MS = 5_000;

/** Events behind the log with which the read models still count as ready. */
export const READY_LAG_EVENTS = 10_000n;
