import type { LedgerClient } from './ledger-client.js';

/** What GraphQL says of a withdrawal and of its payout. */
export interface SeenWithdrawal {
  status: string;
  txid: string | null;
  candidates: string[];
  feeSats: string | null;
  payoutId: string | null;
  waitReason: string | null;
  payout: SeenPayout | null;
}

export interface SeenPayout {
  status: string;
  bumpPending: boolean;
  bumpRefused: string | null;
  bumpRefusedDetail: string | null;
  halt: { outpoint: string; byTxid: string } | null;
  candidates: {
    kind: string;
    isVoid: boolean;
    feeSats: string;
    weight: number;
    feeSource: string;
    inputs: { txid: string; vout: number }[];
    transactions: { txid: string; raw: string; answer: string | null; answerDetail: string | null }[];
  }[];
}

/** Before the read models have it. */
const NOT_YET: SeenWithdrawal = {
  status: 'not there yet',
  txid: null,
  candidates: [],
  feeSats: null,
  payoutId: null,
  waitReason: null,
  payout: null,
};

const WITHDRAWAL = `query ($id: ID!) { withdrawal(id: $id) {
  status txid candidates feeSats payoutId waitReason
  payout {
    status bumpPending bumpRefused bumpRefusedDetail halt { outpoint byTxid }
    candidates {
      kind isVoid feeSats weight feeSource
      inputs { txid vout } transactions { txid raw answer answerDetail }
    }
  } } }`;

/** What the ledger says of it now; `not there yet` where the read models do not know it. */
export async function readWithdrawal(client: LedgerClient, id: string): Promise<SeenWithdrawal> {
  const seen = await client.graphql<{ withdrawal: SeenWithdrawal | null }>(WITHDRAWAL, { variables: { id } });
  return seen.withdrawal ?? NOT_YET;
}
