const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

/**
 * The partition that a ledger's events are in: that of the default partitioner of Kafka's producers (and so of Connect) for the key.
 *
 * @param partitions how many the topic has now; when partitions are added, ledgers move
 */
export function partitionOfLedger(ledger: string, partitions: number): number {
  return (murmur2(Buffer.from(ledger, 'utf8')) & 0x7fffffff) % partitions;
}

/** MurmurHash2, 32 bits, with the seed of `org.apache.kafka.common.utils.Utils.murmur2`. */
function murmur2(data: Buffer): number {
  let h = SEED ^ data.length;
  const whole = data.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    let k = Math.imul(data.readInt32LE(i), M);
    k = Math.imul(k ^ (k >>> R), M);
    h = Math.imul(h, M) ^ k;
  }
  const rest = data.length - whole;
  if (rest === 3) h ^= data.readUInt8(whole + 2) << 16;
  if (rest >= 2) h ^= data.readUInt8(whole + 1) << 8;
  if (rest >= 1) h = Math.imul(h ^ data.readUInt8(whole), M);
  h = Math.imul(h ^ (h >>> 13), M);
  return h ^ (h >>> 15);
}
