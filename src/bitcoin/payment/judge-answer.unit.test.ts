import { describe, expect, it } from 'vitest';
import { judgeAnswer, type NodeView } from './judge-answer.js';

const OTHER = 'ee'.repeat(32);
const COIN = `${'aa'.repeat(32)}:0`;

const nothing: NodeView = { place: 'nowhere', conflicts: [], spentInChain: [], missing: [] };
const inMempool: NodeView = { ...nothing, place: 'mempool' };
const inChain: NodeView = { ...nothing, place: 'chain' };
const conflict: NodeView = { ...nothing, conflicts: [OTHER] };
const spent: NodeView = { ...nothing, spentInChain: [COIN] };
const missing: NodeView = { ...nothing, missing: [COIN] };

/** What the nodes say, as it was recorded (btcd) or stands in its source (Bitcoin Core). */
const ORPHAN = 'TX rejected: orphan transaction X references outputs of unknown or fully-spent transaction Y (-25)';
const BAD_SIGNATURE =
  'TX rejected: failed to validate input X:0 which references output Y:0 - signature not empty on failed checksig (-25)';
const IMMATURE =
  'TX rejected: tried to spend coinbase transaction output X:0 from height 110 at height 111 before required maturity of 100 blocks (-25)';
const BTCD_FEE = 'TX rejected: transaction X has been rejected by the rate limiter due to low fees (-26)';
const BTCD_RATE =
  'TX rejected: X: replacement transaction has an insufficient fee rate: needs more than 2000, has 2000 (-26)';
const BTCD_ABSOLUTE =
  'TX rejected: X: replacement transaction has an insufficient absolute fee: needs 423, has 422 (-26)';
const BTCD_FINAL = 'TX rejected: output already spent in mempool: output=X:0, tx=Y (-26)';
const BTCD_DUST = 'TX rejected: transaction X is not standard: transaction output 0: payment is dust (-26)';
const BTCD_NOT_FINAL = 'TX rejected: transaction X is not standard: transaction is not finalized (-26)';
const BTCD_KNOWN = 'TX rejected: already have transaction in mempool X (-26)';
const CORE_MISSING = 'bad-txns-inputs-missingorspent (-25)';
const CORE_SCRIPT =
  'mempool-script-verify-flag-failed (Signature must be zero for failed CHECK(MULTI)SIG operation) (-26)';
const CORE_FEE = 'min relay fee not met, 20 < 141 (-26)';
const CORE_FULL = 'mempool min fee not met (-26)';
const CORE_REPLACE = 'insufficient fee, rejecting replacement X; new feerate 0.00002 <= old feerate 0.00002 (-26)';
const CORE_DIAGRAM = 'replacement-failed, insufficient feerate: does not improve feerate diagram (-26)';
const CORE_IN_CHAIN = 'Transaction outputs already in utxo set (-27)';
const CORE_NOT_FINAL = 'non-final (-26)';
const CORE_LONG = 'too-long-mempool-chain, too many unconfirmed ancestors [limit: 25] (-26)';
const WARMUP = 'Loading block index… (-28)';

describe('what a node answers', () => {
  it.each([BTCD_KNOWN, ORPHAN, BAD_SIGNATURE, CORE_REPLACE, CORE_IN_CHAIN, WARMUP, 'nonsense'])(
    'does not matter where the node has the transaction: %s',
    (words) => {
      for (const mode of ['test', 'send'] as const) {
        expect(judgeAnswer(mode, words, inMempool).kind).toBe('already-known');
        expect(judgeAnswer(mode, words, inChain).kind).toBe('already-in-chain');
      }
    },
  );

  it.each([BTCD_KNOWN, ORPHAN, BAD_SIGNATURE, CORE_MISSING, CORE_REPLACE, CORE_SCRIPT, CORE_FEE])(
    'means nothing as long as the node cannot be asked what it sees: %s',
    (words) => {
      expect(judgeAnswer('send', words, undefined).kind).toBe('unknown');
    },
  );

  it('means three different things where btcd answers -25', () => {
    expect(judgeAnswer('send', ORPHAN, spent).kind).toBe('inputs-spent');
    expect(judgeAnswer('send', ORPHAN, missing).kind).toBe('unknown');
    expect(judgeAnswer('send', BAD_SIGNATURE, nothing).kind).toBe('refused');
    expect(judgeAnswer('send', IMMATURE, nothing).kind).toBe('unknown');
  });

  it.each([BTCD_RATE, BTCD_ABSOLUTE, CORE_REPLACE, CORE_DIAGRAM])(
    'is too low a fee for a replacement that is asked about, and a better one for a payment that is sent again: %s',
    (words) => {
      expect(judgeAnswer('test', words, conflict)).toMatchObject({ kind: 'fee-too-low', byTxid: OTHER });
      expect(judgeAnswer('send', words, conflict)).toMatchObject({ kind: 'replaced-by-better', byTxid: OTHER });
    },
  );

  it.each([BTCD_FINAL, 'txn-mempool-conflict (-26)', ORPHAN, CORE_MISSING])(
    'is a spent input where the mempool has another spend that cannot be replaced: %s',
    (words) => {
      expect(judgeAnswer('send', words, conflict)).toMatchObject({ kind: 'inputs-spent', byTxid: OTHER });
    },
  );

  it.each([BTCD_FEE, CORE_FEE, CORE_FULL])('is too low a fee where nothing else stands against it: %s', (words) => {
    expect(judgeAnswer('send', words, nothing).kind).toBe('fee-too-low');
    expect(judgeAnswer('test', words, nothing).kind).toBe('fee-too-low');
  });

  it.each([BAD_SIGNATURE, CORE_SCRIPT, BTCD_DUST, 'TX decode failed (-22)'])('is for good: %s', (words) => {
    expect(judgeAnswer('send', words, nothing).kind).toBe('refused');
  });

  it.each([
    BTCD_NOT_FINAL,
    CORE_NOT_FINAL,
    CORE_MISSING,
    ORPHAN,
    CORE_LONG,
    IMMATURE,
    'mempool full (-26)',
    WARMUP,
    'nonsense',
  ])('is not for good, but for later: %s', (words) => {
    expect(judgeAnswer('send', words, nothing).kind).toBe('unknown');
  });

  it.each([BTCD_FEE, CORE_FEE, BAD_SIGNATURE, CORE_SCRIPT, ORPHAN])(
    'means nothing where the node does not have a coin that it should have: %s',
    (words) => {
      expect(judgeAnswer('send', words, missing).kind).toBe('unknown');
    },
  );

  it('never says more in its detail than an event holds', () => {
    const words = 'x'.repeat(2_000);
    for (const view of [undefined, nothing, inMempool, inChain, conflict, spent, missing]) {
      expect(judgeAnswer('send', words, view).detail.length).toBeLessThanOrEqual(500);
    }
  });
});
