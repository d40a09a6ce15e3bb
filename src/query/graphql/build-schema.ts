import { readFileSync } from 'node:fs';
import { buildSchema, GraphQLObjectType, GraphQLScalarType } from 'graphql';
import type { GraphQLSchema } from 'graphql';
import { invariant } from '../../platform/assert.js';
import { ACCOUNT } from './resolvers/account.js';
import { BLOCK } from './resolvers/block.js';
import { LEDGER } from './resolvers/ledger.js';
import { PAYOUT, PAYOUT_CANDIDATE, SIGNED_TRANSACTION } from './resolvers/payout.js';
import { QUERY } from './resolvers/query.js';
import { SUBSCRIPTION } from './resolvers/subscription.js';
import { TRANSFER } from './resolvers/transfer.js';
import { COIN, WALLET } from './resolvers/wallet.js';
import { WITHDRAWAL } from './resolvers/withdrawal.js';
import type { FieldResolvers } from './resolver.js';
import { SCALARS } from './scalars.js';

/** Fields without a resolver are properties of their object. */
const RESOLVERS: Readonly<Record<string, FieldResolvers>> = {
  Query: QUERY,
  Ledger: LEDGER,
  Account: ACCOUNT,
  Wallet: WALLET,
  Coin: COIN,
  Transfer: TRANSFER,
  Block: BLOCK,
  Withdrawal: WITHDRAWAL,
  Payout: PAYOUT,
  PayoutCandidate: PAYOUT_CANDIDATE,
  SignedTransaction: SIGNED_TRANSACTION,
};

/** The schema as it is written down, descriptions included. */
export function schemaText(): string {
  return readFileSync(new URL('./schema.graphql', import.meta.url), 'utf8');
}

/** The schema with everything that resolves it. */
export function buildQuerySchema(): GraphQLSchema {
  const schema = buildSchema(schemaText());
  for (const [name, scalar] of Object.entries(SCALARS)) {
    const type = schema.getType(name);
    invariant(type instanceof GraphQLScalarType, `the schema has no scalar ${name}`);
    const { serialize, parseValue, parseLiteral } = scalar;
    Object.assign(type, { serialize, parseValue, parseLiteral });
  }
  for (const [typeName, fields] of Object.entries(RESOLVERS)) {
    for (const [fieldName, resolve] of Object.entries(fields)) {
      Object.assign(fieldOf(schema, typeName, fieldName), { resolve });
    }
  }
  for (const [fieldName, { subscribe, resolve }] of Object.entries(SUBSCRIPTION)) {
    Object.assign(fieldOf(schema, 'Subscription', fieldName), { subscribe, resolve });
  }
  return schema;
}

function fieldOf(schema: GraphQLSchema, typeName: string, fieldName: string): object {
  const type = schema.getType(typeName);
  invariant(type instanceof GraphQLObjectType, `the schema has no type ${typeName}`);
  const field = type.getFields()[fieldName];
  invariant(field !== undefined, `the schema has no field ${typeName}.${fieldName}`);
  return field;
}
