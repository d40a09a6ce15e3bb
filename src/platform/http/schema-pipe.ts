import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import type { z } from 'zod';
import { ProblemError, type FieldError } from './problem.js';

/** Errors told at most: enough to mend a request, and a bound for hostile ones. */
const MAX_ERRORS = 20;

/**
 * Validates and decodes what a route's parameters name as their schema (`@Body({ schema })`, `@Param('id', { schema })`):
 * 400 `validation-failed` with a JSON pointer for each thing that is wrong. Parsed once, here; inside, types are trusted.
 */
export class SchemaPipe implements PipeTransform {
  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    const schema = metadata.schema as z.ZodType | undefined;
    if (schema === undefined) return value;
    // No body at all is an empty one: then each field that is missing can be named.
    const result = schema.safeParse(value === undefined && metadata.type === 'body' ? {} : value);
    if (result.success) return result.data;
    const base = metadata.type === 'body' || metadata.data === undefined ? [] : [metadata.data];
    throw new ProblemError('validation-failed', 'Something in the request is not as it should be; see errors.', {
      errors: fieldErrors(result.error, base),
    });
  }
}

/** What zod found, as JSON pointers; unknown fields one by one. */
export function fieldErrors(error: z.ZodError, base: readonly PropertyKey[] = []): FieldError[] {
  const errors = error.issues.flatMap((issue): FieldError[] => {
    const path = [...base, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: pointerTo([...path, key]),
        detail: 'is not a field of this request',
      }));
    }
    const isMissing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
    return [{ pointer: pointerTo(path), detail: isMissing ? 'is required' : issue.message }];
  });
  return errors.slice(0, MAX_ERRORS);
}

const MAX_POINTER_LENGTH = 200;

/** RFC 6901. */
function pointerTo(path: readonly PropertyKey[]): string {
  const pointer = path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  return pointer.length > MAX_POINTER_LENGTH ? `${pointer.slice(0, MAX_POINTER_LENGTH)}…` : pointer;
}
