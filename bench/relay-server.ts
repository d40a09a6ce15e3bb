import { createHash, randomUUID } from 'node:crypto';
import { startStandIn } from '../test/support/eventstoredb/stand-in.js';
import { appendToLedger } from '../test/support/eventstoredb/ledger-events.js';
import { createStoredLog } from '../test/support/eventstoredb/stored-log.js';

/** The stand-in for EventStoreDB in a process of its own, full of events: `node relay-server.js <events>`. */
const events = Number(process.argv[2]);
const ACCOUNTS = 10_000;

const log = createStoredLog({ now: Date.now });
for (let n = 0; n < events; n += 1) {
  const account = `customer-${n % ACCOUNTS}`;
  const to = `customer-${(n * 7 + 1) % ACCOUNTS}`;
  const key = randomUUID();
  appendToLedger(log, 'bench', `account-${account}`, [
    {
      type: 'TransferSent',
      data: {
        transferId: key,
        fromAccountId: account,
        toAccountId: to,
        amountSats: '150000',
        postings: [
          { book: `account:${account}`, amountSats: '150000' },
          { book: `account:${to}`, amountSats: '-150000' },
        ],
      },
      metadata: { correlationId: key, idempotencyKey: key, actor: 'bench' },
      key,
      outcome: {
        requestHash: createHash('sha256').update(key).digest('hex'),
        outcome: { status: 201, body: { transferId: key } },
      },
    },
  ]);
}
const server = await startStandIn({ log });
process.send?.({ url: server.url });
process.on('disconnect', () => process.exit(0));
