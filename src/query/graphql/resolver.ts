import type { GraphQLResolveInfo } from 'graphql';
import type { Reader } from '../reader.js';

/** What every resolver of a query's own fields gets. */
export interface ReadContext {
  reader: Reader;
}

/** A resolver; arguments were validated against the schema before, so their type is trusted. */
export type Resolve<Source, Args = Record<string, never>> = (
  source: Source,
  args: Args,
  context: ReadContext,
  info: GraphQLResolveInfo,
) => unknown;

/** Resolvers of a type's fields, by name. */
export type FieldResolvers = Readonly<Record<string, Resolve<never, never>>>;

/** The name that a field of the query itself has in the answer. */
export function answerName(info: GraphQLResolveInfo): string {
  return String(info.path.key);
}
