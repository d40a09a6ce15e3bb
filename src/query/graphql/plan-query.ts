import { getNamedType, getOperationAST, isObjectType, Kind, valueFromASTUntyped } from 'graphql';
import type {
  DocumentNode,
  FieldNode,
  FragmentDefinitionNode,
  GraphQLObjectType,
  GraphQLSchema,
  OperationDefinitionNode,
  SelectionSetNode,
} from 'graphql';
import { ReadError } from '../errors.js';
import {
  BLOCK_TRANSFERS_COST,
  DEFAULT_PAGE,
  HISTORY_COST,
  MAX_QUERY_COST,
  PAYOUT_WITHDRAWALS_COST,
} from '../limits.js';

/** Read models besides `blocks`, which every answer needs for its tip. */
const MODELS_OF_FIELD: Readonly<Record<string, readonly string[]>> = {
  'Query.account': ['accounts'],
  'Query.accounts': ['accounts'],
  'Query.wallet': ['wallets'],
  'Query.wallets': ['wallets'],
  'Query.transfers': ['transfers'],
  'Query.withdrawal': ['payouts', 'transfers'],
  'Query.withdrawals': ['payouts', 'transfers'],
  'Query.payout': ['payouts', 'transfers'],
  'Query.payouts': ['payouts', 'transfers'],
  'Query.events': ['log'],
  'Subscription.account': ['accounts'],
  'Subscription.withdrawal': ['payouts', 'transfers'],
  'Subscription.payout': ['payouts', 'transfers'],
  'Ledger.customersSats': ['books'],
  'Ledger.houseSats': ['books'],
  'Ledger.suspenseSats': ['books'],
  'Ledger.walletsSats': ['wallets'],
  'Ledger.differenceSats': ['books', 'wallets'],
  'Wallet.unconfirmedSats': ['transfers'],
  'Wallet.coins': ['transfers'],
  'Wallet.reservedSats': ['payouts', 'transfers'],
  'Coin.reserved': ['payouts'],
  'Withdrawal.history': ['log'],
  'Payout.wallet': ['wallets'],
  'Ledger.transitSats': ['books'],
  'Ledger.feesSats': ['books'],
  'Block.transfers': ['transfers'],
};

/** Lists that have no pages. */
const COST_OF_FIELD: Readonly<Record<string, number>> = {
  'Block.transfers': BLOCK_TRANSFERS_COST,
  'Payout.withdrawals': PAYOUT_WITHDRAWALS_COST,
  'Withdrawal.history': HISTORY_COST,
};

/** Parts of a list that stand for nothing of their own. */
const TRANSPARENT = new Set(['edges', 'node', 'pageInfo']);

export interface QueryPlan {
  operation: OperationDefinitionNode;
  /** Read models that the query touches: it is read at the lowest position that they have reached. */
  models: readonly string[];
  /** Objects that the answer may hold. */
  cost: number;
}

type Variables = Record<string, unknown>;

/**
 * Looks at a valid document before it is executed.
 *
 * @throws ReadError QUERY_TOO_COMPLEX where it asks for too many objects, BAD_USER_INPUT where it has no such operation
 */
export function planQuery(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Variables,
): QueryPlan {
  const operation = getOperationAST(document, operationName);
  if (!operation) throw new ReadError('BAD_USER_INPUT', 'operationName: name one of the operations of the document');
  const root = schema.getRootType(operation.operation);
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  const walk: Walk = { schema, fragments, variables, models: new Set(['blocks']), measured: new Map() };
  const cost = root ? costOf(operation.selectionSet, root, walk) : 0;
  if (cost > MAX_QUERY_COST) {
    const message = `the query asks for up to ${cost} objects, more than ${MAX_QUERY_COST}: ask for shorter pages`;
    throw new ReadError('QUERY_TOO_COMPLEX', message);
  }
  return { operation, models: [...walk.models], cost };
}

interface Walk {
  schema: GraphQLSchema;
  fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  variables: Variables;
  models: Set<string>;
  /** Costs of fragments that were looked at. */
  measured: Map<string, number>;
}

function costOf(selectionSet: SelectionSetNode, parent: GraphQLObjectType, walk: Walk): number {
  let cost = 0;
  for (const selection of selectionSet.selections) {
    switch (selection.kind) {
      case Kind.FIELD:
        cost += costOfField(selection, parent, walk);
        break;
      case Kind.INLINE_FRAGMENT:
        cost += costOf(selection.selectionSet, parent, walk);
        break;
      case Kind.FRAGMENT_SPREAD: {
        const name = selection.name.value;
        let known = walk.measured.get(name);
        if (known === undefined) {
          const fragment = walk.fragments.get(name);
          known = fragment === undefined ? 0 : costOf(fragment.selectionSet, parent, walk);
          walk.measured.set(name, known);
        }
        cost += known;
        break;
      }
    }
  }
  return cost;
}

function costOfField(field: FieldNode, parent: GraphQLObjectType, walk: Walk): number {
  const name = field.name.value;
  const coordinate = `${parent.name}.${name}`;
  for (const model of MODELS_OF_FIELD[coordinate] ?? []) walk.models.add(model);
  if (coordinate === 'Query.events' && hasAccountFilter(field, walk.variables)) walk.models.add('accounts');
  const definition = parent.getFields()[name];
  if (definition === undefined || field.selectionSet === undefined) return 0;
  const type = getNamedType(definition.type);
  if (!isObjectType(type)) return 0;
  const below = costOf(field.selectionSet, type, walk);
  if (TRANSPARENT.has(name)) return below;
  return objectsOf(field, coordinate, type, walk.variables) * (1 + below);
}

function objectsOf(field: FieldNode, coordinate: string, type: GraphQLObjectType, variables: Variables): number {
  if (type.name.endsWith('Connection')) {
    const first = argument(field, 'first', variables);
    return typeof first === 'number' ? Math.max(first, 1) : DEFAULT_PAGE;
  }
  if (coordinate === 'Wallet.balances') {
    const from = Number(argument(field, 'fromHeight', variables));
    const to = Number(argument(field, 'toHeight', variables));
    // A height is three short fields of a row that is read in order.
    return Number.isFinite(to - from) ? Math.max(Math.ceil((to - from + 1) / 10), 1) : 1;
  }
  return COST_OF_FIELD[coordinate] ?? 1;
}

function hasAccountFilter(field: FieldNode, variables: Variables): boolean {
  const filter = argument(field, 'filter', variables);
  return typeof filter === 'object' && filter !== null && 'accountId' in filter;
}

function argument(field: FieldNode, name: string, variables: Variables): unknown {
  const node = field.arguments?.find((candidate) => candidate.name.value === name)?.value;
  return node === undefined ? undefined : valueFromASTUntyped(node, variables);
}
