// The page at /: what the ledger says of itself, live. Everything from the server is put in as text, never as markup.
import { createLiveClient } from './live.js';

const LEDGER = `subscription {
  ledger {
    id position recordedAt customersSats walletsSats differenceSats houseSats suspenseSats transitSats feesSats
    tip { hash height }
    projections { name position lagEvents state reason haltedAt }
  }
}`;

const LISTS = `query {
  accounts(first: 20) { edges { node { id availableSats reservedSats pendingSats frozen } } pageInfo { hasNextPage } }
  transfers(first: 15) { edges { node { id direction txid index amountSats status confirmations walletId accountId } } }
  withdrawals(first: 15) { edges { node {
    id accountId amountSats status overdueSince confirmations txid waitReason waitDetail payoutId
  } } }
  overdue: withdrawals(filter: { overdue: true }, first: 15) { edges { node { id } } pageInfo { hasNextPage } }
  payouts(first: 10) { edges { node { id walletId status confirmations txid feeSats waitReason waitDetail } } }
  halted: payouts(filter: { status: "halted" }, first: 10) { edges { node { id halt { byTxid outpoint height } } } }
  signed: payouts(filter: { status: "signed" }, first: 10) { edges { node { id waitReason waitDetail } } }
  reorgs(first: 5) { edges { node { position recordedAt forkHeight depth disconnected connected } } }
  wallets(first: 1) { edges { node { id } } }
}`;

const KEY = 'tallystick-api-key';
const $ = (id) => document.getElementById(id);

const client = createLiveClient({
  authorization: () => (sessionStorage.getItem(KEY) ? `Bearer ${sessionStorage.getItem(KEY)}` : undefined),
  onState: (state) => {
    const badge = $('connection');
    badge.textContent = { connecting: 'connecting', live: 'live', forbidden: 'API key needed' }[state];
    badge.className = `badge ${{ connecting: '', live: 'good', forbidden: 'bad' }[state]}`;
    $('key-form').hidden = state !== 'forbidden';
  },
});

$('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $('key').value);
  $('key').value = '';
  client.reconnect();
});

let asking = false;
let again = false;

/** One question at a time: while it is under way, any number of states ask for one more. */
function askLists() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  const done = () => {
    asking = false;
    if (again) {
      again = false;
      askLists();
    }
  };
  client.start({ query: LISTS }, ({ data, errors }) => (data ? showLists(data) : showErrors(errors)), done);
}

client.start(
  { query: LEDGER },
  ({ data, errors }) => {
    if (!data) return showErrors(errors);
    showLedger(data.ledger);
    askLists();
  },
  showErrors,
);

function showErrors(errors) {
  if (!errors) return;
  $('alarms').replaceChildren(...errors.map(({ message }) => element('p', { class: 'alarm' }, message)));
}

function showLedger(ledger) {
  document.title = `Tallystick · ${ledger.id}`;
  $('ledger-name').textContent = ledger.id;
  $('customers').textContent = btc(ledger.customersSats);
  $('wallets').textContent = btc(ledger.walletsSats);
  $('holdings-note').textContent =
    ledger.houseSats === '0'
      ? 'what the chain says our wallets hold'
      : `of which ${btc(ledger.houseSats)} are the house's`;
  $('difference').textContent = btc(ledger.differenceSats);
  const agrees = ledger.differenceSats === '0' && ledger.suspenseSats === '0';
  $('verdict').className = agrees ? 'good' : 'bad';
  $('verdict-note').textContent = agrees ? 'books and chain agree' : 'books and chain do not agree';
  $('transit').textContent = btc(ledger.transitSats);
  $('fees-note').textContent =
    ledger.feesSats === '0' ? 'payments that are not settled' : `${btc(ledger.feesSats)} of fees paid by the house`;
  $('tip').textContent = ledger.tip ? `block ${ledger.tip.height}` : 'no chain yet';
  $('tip-hash').textContent = ledger.tip ? ledger.tip.hash : '';
  $('position').textContent = ledger.position;
  $('recorded-at').textContent = ledger.recordedAt ? `recorded ${time(ledger.recordedAt)}` : 'nothing recorded yet';
  const alarms = [];
  if (ledger.differenceSats !== '0') {
    alarms.push(
      `The books say that the wallets hold ${btc(ledger.differenceSats)} more than the chain says. Run: tallystick verify`,
    );
  }
  if (ledger.suspenseSats !== '0') {
    alarms.push(`${btc(ledger.suspenseSats)} of ours were spent by transactions that are not ours.`);
  }
  for (const { name, state, reason, haltedAt } of ledger.projections) {
    if (state === 'halted') alarms.push(`The read model ${name} halted before position ${haltedAt}: ${reason}`);
  }
  alarmsOf.ledger = alarms;
  showAlarms();
  show(
    'projections',
    table(
      ['Name', '#Position', '#Behind', 'State'],
      ledger.projections.map((projection) => [
        projection.name,
        projection.position,
        String(projection.lagEvents),
        badge(projection.state, projection.state === 'live' ? 'good' : 'bad'),
      ]),
    ),
  );
}

/** What the ledger and the lists have to say, each as of its last answer. */
const alarmsOf = { ledger: [], payments: [] };

function showAlarms() {
  const alarms = [...alarmsOf.ledger, ...alarmsOf.payments];
  $('alarms').replaceChildren(...alarms.map((text) => element('p', { class: 'alarm', role: 'alert' }, text)));
}

/** How a payment's status is shown; the others are on their way. */
const PAYMENT_KINDS = { completed: 'good', final: 'good', failed: 'bad', halted: 'bad' };

function showPayments({ withdrawals, payouts, overdue, halted, signed }) {
  alarmsOf.payments = nodes(halted).map(
    ({ id, halt }) =>
      `Payout ${id} is halted: ${halt?.byTxid} spent its coin ${halt?.outpoint}. A person has to decide: see docs/withdrawals.md`,
  );
  for (const { id, waitDetail } of nodes(signed).filter(({ waitReason }) => waitReason === 'node-refused')) {
    alarmsOf.payments.push(
      `The node refuses payout ${id}: ${waitDetail} A person has to look: see docs/withdrawals.md`,
    );
  }
  const late = nodes(overdue);
  if (late.length > 0) {
    const more = overdue.pageInfo.hasNextPage ? ' and more' : '';
    alarmsOf.payments.push(`Overdue withdrawals: ${late.map(({ id }) => id).join(', ')}${more}`);
  }
  showAlarms();
  const withdrawalRows = nodes(withdrawals).map((withdrawal) => [
    withdrawal.id,
    withdrawal.accountId,
    btc(withdrawal.amountSats),
    badge(withdrawal.status, withdrawal.overdueSince ? 'bad' : (PAYMENT_KINDS[withdrawal.status] ?? '')),
    String(withdrawal.confirmations),
    reason(withdrawal),
    transaction(withdrawal.txid),
  ]);
  show(
    'withdrawals',
    withdrawalRows.length > 0
      ? table(
          ['Withdrawal', 'Account', '#Amount', 'Status', '#Confirmations', 'Waits for', 'Transaction'],
          withdrawalRows,
        )
      : empty(
          'None so far. Once an account has money:',
          command('/v1/withdrawals', 'first-withdrawal', {
            accountId: 'alice',
            address: '<an address>',
            amountSats: '50000',
          }),
        ),
  );
  const payoutRows = nodes(payouts).map((payout) => [
    element(
      'span',
      { class: 'hash', title: payout.id },
      payout.id.length > 20 ? `${payout.id.slice(0, 19)}…` : payout.id,
    ),
    payout.walletId,
    badge(payout.status, PAYMENT_KINDS[payout.status] ?? ''),
    String(payout.confirmations),
    payout.feeSats === null ? '' : btc(payout.feeSats),
    reason(payout),
    transaction(payout.txid),
  ]);
  show(
    'payouts',
    payoutRows.length > 0
      ? table(['Payout', 'Wallet', 'Status', '#Confirmations', '#Fee', 'Waits for', 'Transaction'], payoutRows)
      : empty('None so far: withdrawals are paid by payouts, several at once where that is cheaper.'),
  );
}

function reason({ waitReason, waitDetail }) {
  return waitReason === null ? '' : element('span', { title: waitDetail ?? '' }, waitReason);
}

function transaction(txid) {
  return txid === null ? '' : element('span', { class: 'hash', title: txid }, `${txid.slice(0, 16)}…`);
}

function showLists({ accounts, transfers, reorgs, wallets, ...payments }) {
  showPayments(payments);
  const accountRows = nodes(accounts).map(({ id, availableSats, reservedSats, pendingSats, frozen }) => [
    id,
    btc(availableSats),
    btc(reservedSats),
    btc(pendingSats),
    frozen ? badge('frozen', 'bad') : '',
  ]);
  show(
    'accounts',
    accountRows.length > 0
      ? table(['Account', '#Available', '#Reserved', '#Pending', ''], accountRows)
      : empty('No accounts yet. Open the first one:', command('/v1/accounts', 'open-alice', { accountId: 'alice' })),
  );
  const transferRows = nodes(transfers).map((transfer) => [
    badge(transfer.direction === 'IN' ? 'in' : 'out', ''),
    btc(transfer.amountSats),
    transfer.accountId ?? (transfer.direction === 'IN' ? 'house' : ''),
    transfer.walletId,
    badge(
      transfer.status.toLowerCase(),
      { CONFIRMED: 'good', CONFLICTED: 'bad', ORPHANED: 'bad' }[transfer.status] ?? '',
    ),
    String(transfer.confirmations),
    element(
      'span',
      { class: 'hash', title: `${transfer.txid}:${transfer.index}` },
      `${transfer.txid.slice(0, 16)}…:${transfer.index}`,
    ),
  ]);
  show(
    'transfers',
    transferRows.length > 0
      ? table(['', '#Amount', 'Account', 'Wallet', 'Status', '#Confirmations', 'Transaction'], transferRows)
      : firstDeposit(nodes(wallets)[0]?.id),
  );
  const reorgRows = nodes(reorgs).map(({ position, recordedAt, forkHeight, depth, disconnected, connected }) => [
    time(recordedAt),
    position,
    String(depth),
    String(forkHeight),
    element('span', { class: 'hash', title: disconnected.join('\n') }, `${disconnected[0]?.slice(0, 16) ?? ''}…`),
    connected.length === 0
      ? 'nothing yet'
      : element('span', { class: 'hash', title: connected.join('\n') }, `${connected.at(-1).slice(0, 16)}…`),
  ]);
  show(
    'reorgs',
    reorgRows.length > 0
      ? table(['Recorded', '#Position', '#Depth', '#Fork height', 'Off', 'On'], reorgRows)
      : empty(
          'None so far. With the built-in chain, make one:',
          command('/dev/chain/reorg', undefined, { depth: 1, blocks: 2 }),
        ),
  );
}

function firstDeposit(walletId) {
  if (walletId === undefined) {
    return empty(
      'No wallet yet. Make one that keeps its own keys (regtest and signet):',
      command('/v1/wallets', 'make-hot', { walletId: 'hot', signer: 'local' }),
    );
  }
  const path = `/v1/wallets/${walletId}/addresses`;
  return empty(
    'Nothing on the chain yet. Hand out an address, pay it on the built-in chain, and mine a block:',
    command(path, 'first-address', { accountId: 'alice' }),
    command('/dev/chain/pay', undefined, { address: '<the address>', amountSats: '100000' }),
    command('/dev/chain/mine', undefined, { blocks: 1 }),
  );
}

function command(path, key, body) {
  const idempotency = key ? ` -H 'idempotency-key: ${key}'` : '';
  return `curl -X POST ${new URL(path.slice(1), location.href).href}${idempotency} \\\n  -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
}

function nodes(connection) {
  return connection.edges.map(({ node }) => node);
}

function show(id, content) {
  $(id).replaceChildren(content);
}

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function badge(text, kind) {
  return element('span', { class: `badge ${kind}` }, text);
}

function empty(text, ...commands) {
  return element(
    'div',
    { class: 'empty' },
    element('p', {}, text),
    ...commands.map((each) => element('pre', {}, each)),
  );
}

/** Headings that begin with # are columns of numbers. */
function table(headings, rows) {
  const kind = (index) => (headings[index].startsWith('#') ? { class: 'number' } : {});
  const head = element(
    'tr',
    {},
    ...headings.map((heading, index) => element('th', { scope: 'col', ...kind(index) }, heading.replace('#', ''))),
  );
  const body = rows.map((row) => element('tr', {}, ...row.map((cell, index) => element('td', kind(index), cell))));
  return element(
    'div',
    { class: 'table' },
    element('table', {}, element('thead', {}, head), element('tbody', {}, ...body)),
  );
}

/** Satoshis in bitcoin, exactly: never a floating-point number. */
function btc(sats) {
  const digits = sats.replace('-', '').padStart(9, '0');
  const whole = digits.slice(0, -8).replace(/\B(?=(\d{3})+$)/g, '\u202f');
  return `${sats.startsWith('-') ? '−' : ''}${whole}.${digits.slice(-8)} BTC`;
}

function time(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}
