import { Kind } from 'graphql';
import type { ASTVisitor, FragmentDefinitionNode, SelectionSetNode, ValidationContext } from 'graphql';
import { ReadError } from '../errors.js';
import { MAX_QUERY_ALIASES, MAX_QUERY_DEPTH, MAX_QUERY_FIELDS, MAX_ROOT_FIELDS } from '../limits.js';

interface Size {
  depth: number;
  fields: number;
  aliases: number;
}

/**
 * Validation rule: bounds depth, fields and aliases with every fragment written out, before anything is executed. Each
 * fragment is measured once, so that fragments within fragments cost no more to look at than they are long. What cannot be
 * written out (a circle, a fragment that is not there) is for the rules of the specification to refuse.
 */
export function limitsRule(context: ValidationContext): ASTVisitor {
  return {
    OperationDefinition(operation) {
      const measured = new Map<string, Size>();
      const size = sizeOf(operation.selectionSet, context, measured, new Set());
      const roots = rootFields(operation.selectionSet, context, new Set());
      refuse(context, 'levels', size.depth, MAX_QUERY_DEPTH);
      refuse(context, 'fields', size.fields, MAX_QUERY_FIELDS);
      refuse(context, 'aliases', size.aliases, MAX_QUERY_ALIASES);
      refuse(context, 'fields of the query itself', roots, MAX_ROOT_FIELDS);
    },
  };
}

function refuse(context: ValidationContext, what: string, count: number, limit: number): void {
  if (count > limit) {
    context.reportError(new ReadError('QUERY_TOO_COMPLEX', `the query has ${count} ${what}, more than ${limit}`));
  }
}

function sizeOf(
  selectionSet: SelectionSetNode,
  context: ValidationContext,
  measured: Map<string, Size>,
  open: Set<string>,
): Size {
  const total: Size = { depth: 0, fields: 0, aliases: 0 };
  const add = (size: Size, level: number): void => {
    total.depth = Math.max(total.depth, size.depth + level);
    total.fields += size.fields;
    total.aliases += size.aliases;
  };
  for (const selection of selectionSet.selections) {
    switch (selection.kind) {
      case Kind.FIELD: {
        total.fields += 1;
        if (selection.alias !== undefined) total.aliases += 1;
        total.depth = Math.max(total.depth, 1);
        if (selection.selectionSet === undefined) break;
        const below = sizeOf(selection.selectionSet, context, measured, open);
        // Introspection has a rule of its own (MaxIntrospectionDepthRule); type references are deep and harmless.
        add(selection.name.value.startsWith('__') ? { ...below, depth: 0 } : below, 1);
        break;
      }
      case Kind.INLINE_FRAGMENT:
        add(sizeOf(selection.selectionSet, context, measured, open), 0);
        break;
      case Kind.FRAGMENT_SPREAD: {
        const fragment = context.getFragment(selection.name.value);
        if (fragment) add(sizeOfFragment(fragment, context, measured, open), 0);
        break;
      }
    }
  }
  return total;
}

function sizeOfFragment(
  fragment: FragmentDefinitionNode,
  context: ValidationContext,
  measured: Map<string, Size>,
  open: Set<string>,
): Size {
  const name = fragment.name.value;
  const known = measured.get(name);
  if (known !== undefined) return known;
  if (open.has(name)) return { depth: 0, fields: 0, aliases: 0 };
  open.add(name);
  const size = sizeOf(fragment.selectionSet, context, measured, open);
  open.delete(name);
  measured.set(name, size);
  return size;
}

function rootFields(selectionSet: SelectionSetNode, context: ValidationContext, open: Set<string>): number {
  let count = 0;
  for (const selection of selectionSet.selections) {
    if (selection.kind === Kind.FIELD) {
      count += 1;
    } else if (selection.kind === Kind.INLINE_FRAGMENT) {
      count += rootFields(selection.selectionSet, context, open);
    } else {
      const name = selection.name.value;
      const fragment = context.getFragment(name);
      // Once each: the same fields again are merged into one.
      if (!fragment || open.has(name)) continue;
      open.add(name);
      count += rootFields(fragment.selectionSet, context, open);
    }
  }
  return count;
}
