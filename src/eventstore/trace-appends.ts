import { isSampled } from '../platform/http/trace-context.js';
import type { Tracing } from '../platform/tracing.js';
import type { AppendRequest, AppendResult, EventStore } from './event-store.js';

/**
 * The store, with a span for each append whose events belong to a trace that is recorded. The events keep the `traceparent` that they came
 * with: a retried append is the same events.
 *
 * @param system where it appends to, as in OpenTelemetry's `db.system.name`
 */
export function traceAppends(store: EventStore, tracing: Tracing, system: string): EventStore {
  async function traced(request: AppendRequest, parent: string): Promise<AppendResult> {
    const { stream, events } = request;
    const span = tracing.begin('append', {
      kind: 'CLIENT',
      parent,
      attributes: { 'db.system.name': system, 'tallystick.stream': stream, 'tallystick.events': events.length },
    });
    try {
      const result = await store.append(request);
      const position = result.kind === 'appended' && result.position !== null ? Number(result.position) : undefined;
      span.end({
        attributes: {
          'tallystick.result': result.kind,
          ...(position === undefined ? {} : { 'tallystick.position': position }),
        },
      });
      return result;
    } catch (error) {
      span.end({ failed: true, attributes: { 'error.type': error instanceof Error ? error.name : 'unknown' } });
      throw error;
    }
  }

  return {
    append: (request) => {
      const parent = request.events[0]?.metadata.traceparent;
      return isSampled(parent) ? traced(request, parent) : store.append(request);
    },
    readStream: (stream, fromRevision, limit) => store.readStream(stream, fromRevision, limit),
    findOutcome: (key) => store.findOutcome(key),
    close: () => store.close(),
  };
}
