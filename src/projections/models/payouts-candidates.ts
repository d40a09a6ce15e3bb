import type { NodeAnswerKind } from '../../domain/events/payout-events.js';
import { invariant } from '../../platform/assert.js';
import { bookHeight } from '../projection.js';
import type { ProjectedEvent } from '../projection.js';
import { keyText } from '../tables/row-table.js';
import type { PayoutTables } from './payout-tables.js';
import { changePayout } from './change-payout.js';
import { changeWork } from './payout-work-row.js';

/** What was made, signed and offered for a payout. */
export function applyCandidateEvent(event: ProjectedEvent, tables: PayoutTables): void {
  switch (event.type) {
    case 'CandidatePrepared':
      prepare(event, event.data, tables);
      return;
    case 'CandidateSigned':
      sign(event, event.data, tables);
      return;
    case 'CandidateOffered':
      offer(event, event.data, tables);
      return;
    default:
      return;
  }
}

/** The node has it, or had it: it may be in any mempool now. */
export const TAKEN: ReadonlySet<NodeAnswerKind> = new Set(['accepted', 'already-known', 'already-in-chain']);

type DataOf<T extends ProjectedEvent['type']> = Extract<ProjectedEvent, { type: T }>['data'];

function prepare(event: ProjectedEvent, data: DataOf<'CandidatePrepared'>, tables: PayoutTables): void {
  const { payoutId, candidate, kind, transaction } = data;
  const height = bookHeight(event);
  tables.candidate.put({ payout_id: payoutId, candidate, kind, is_void: false, height });
  tables.plan.append({
    payout_id: payoutId,
    candidate,
    transaction,
    fee_source: data.feeSource,
    fee_reason: data.feeReason,
    position: event.position,
    height,
    recorded_at: event.recordedAt,
  });
  const { txid } = transaction;
  if (txid !== null) {
    tables.candidateTx.put({
      txid,
      payout_id: payoutId,
      candidate,
      kind,
      is_signed: false,
      is_void: false,
      answer: null,
      answer_detail: null,
      answered_at: null,
      taken_height: null,
      height,
    });
  }
  const payout = tables.payout.get(payoutId);
  changePayout(event, payoutId, tables, {
    phase: payout?.phase === 'started' ? 'prepared' : (payout?.phase ?? 'prepared'),
    candidates: (payout?.candidates ?? 0) + 1,
    prepared_at: payout?.prepared_at ?? event.recordedAt,
    reason: null,
    detail: null,
    bump_pending: false,
  });
}

function sign(event: ProjectedEvent, data: DataOf<'CandidateSigned'>, tables: PayoutTables): void {
  const { payoutId, candidate, txid } = data;
  const height = bookHeight(event);
  const row = tables.candidate.get(keyText(payoutId, candidate));
  invariant(row !== undefined, `candidate ${candidate} of payout ${payoutId} was signed and never prepared`);
  tables.signed.append({
    txid,
    payout_id: payoutId,
    candidate,
    transaction: data.transaction,
    inputs: data.inputs,
    change_vouts: data.changeVouts,
    fee_sats: BigInt(data.feeSats),
    weight: data.weight,
    position: event.position,
    height,
    recorded_at: event.recordedAt,
  });
  const known = tables.candidateTx.get(txid);
  tables.candidateTx.put({
    txid,
    payout_id: payoutId,
    candidate,
    kind: row.kind,
    is_void: row.is_void,
    answer: known?.answer ?? null,
    answer_detail: known?.answer_detail ?? null,
    answered_at: known?.answered_at ?? null,
    taken_height: known?.taken_height ?? null,
    is_signed: true,
    height,
  });
  const payout = tables.payout.get(payoutId);
  changePayout(event, payoutId, tables, {
    phase: payout?.is_open === false ? payout.phase : 'signed',
    signed: (payout?.signed ?? 0) + 1,
    signed_at: payout?.signed_at ?? event.recordedAt,
    reason: null,
    detail: null,
  });
  changeWork(payoutId, tables, ({ is_unusual: isUnusual }) => ({
    is_signed: true,
    is_unusual: isUnusual || row.is_void,
  }));
  // Its txid was not known before: a signer that broadcast it on its own had it taken for somebody else's.
  for (const spend of tables.foreign.group(payoutId)) {
    if (spend.by_txid !== txid) continue;
    tables.foreign.remove(spend.outpoint);
    if (row.kind === 'payment')
      changeWork(payoutId, tables, { confirmed_txid: txid, confirmed_height: spend.block_height });
  }
}

function offer(event: ProjectedEvent, data: DataOf<'CandidateOffered'>, tables: PayoutTables): void {
  const { payoutId, txid, answer, detail } = data;
  const height = bookHeight(event);
  const row = tables.candidateTx.get(txid);
  invariant(row !== undefined, `${txid} was offered for payout ${payoutId} and is none of its candidates`);
  const taken = TAKEN.has(answer);
  const first = taken && row.taken_height === null;
  tables.candidateTx.put({
    ...row,
    answer,
    answer_detail: detail,
    answered_at: event.recordedAt,
    taken_height: first ? height : row.taken_height,
    height,
  });
  // Said again where it is still so.
  if (tables.payout.get(payoutId)?.reason === 'node-refused') {
    changePayout(event, payoutId, tables, { reason: null, detail: null });
  }
  if (!first) return;
  if (tables.payout.get(payoutId)?.broadcast_at === null) {
    changePayout(event, payoutId, tables, { broadcast_at: event.recordedAt });
  }
  // The first one has the whole target. Later ones have ever less patience, the workflow says how much: it looks at each block.
  changeWork(payoutId, tables, ({ confirmation_target: target, next_target: before }) => ({
    next_target: height + (before === null ? target : 1),
  }));
}
