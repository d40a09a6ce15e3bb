/**
 * Which appends build on one another.
 *
 * Who decides on a stream may submit the next append before the last one is committed, with the revision that the last one will
 * reach. If the last one then fails, the next must fail too - also when the stream happens to stand at the revision that it expects,
 * because another process appended: that is not the state it was decided on. Revisions alone cannot tell; this can.
 */
export interface ChainLink {
  state: 'waiting' | 'appended' | 'failed';
  /** The append whose outcome this one was decided on, undefined where it was decided on what is committed. */
  readonly after: ChainLink | undefined;
  /** True where more than one append could be that one: not all of them can succeed, so it cannot either. */
  readonly ambiguous: boolean;
}

export interface AppendChains {
  /** @param expected revision, -1n for none. @param last revision that the append reaches */
  link(stream: string, expected: bigint, last: bigint): ChainLink;
  /**
   * Forgets a settled append. Not before everybody who waited for it has heard: until then an append that builds on it
   * may still come.
   */
  forget(stream: string, last: bigint, link: ChainLink): void;
}

export function createAppendChains(): AppendChains {
  /** Unforgotten appends by stream and by the revision that they reach. Bounded by the appender's queue. */
  const streams = new Map<string, Map<bigint, ChainLink[]>>();

  return {
    link(stream, expected, last) {
      let byLast = streams.get(stream);
      if (byLast === undefined) streams.set(stream, (byLast = new Map<bigint, ChainLink[]>()));
      const candidates = byLast.get(expected) ?? [];
      const link: ChainLink = { state: 'waiting', after: candidates[0], ambiguous: candidates.length > 1 };
      const reaching = byLast.get(last);
      if (reaching === undefined) byLast.set(last, [link]);
      else reaching.push(link);
      return link;
    },

    forget(stream, last, link) {
      const byLast = streams.get(stream);
      const remaining = byLast?.get(last)?.filter((other) => other !== link);
      if (byLast === undefined || remaining === undefined) return;
      if (remaining.length > 0) byLast.set(last, remaining);
      else byLast.delete(last);
      if (byLast.size === 0) streams.delete(stream);
    },
  };
}

/** True for an append that must be refused whatever the stream looks like. */
export function mustFail(link: ChainLink): boolean {
  return link.ambiguous || link.after?.state === 'failed';
}
