import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { partPath } from './parts.js';

export interface KernelVerdict {
  hash: string;
  /** False when Bitcoin Core refuses the block. A stored side branch is accepted: whether it is valid shows when it wins. */
  accepted: boolean;
  /** VALID, INVALID, stored, or rejected. */
  verdict: string;
  reason: string;
  /** The best chain after this block. */
  height: number;
  tip: string;
  /** Blocks that this one took off the best chain, newest first. */
  disconnected: string[];
}

/** Amount in satoshis, script, height, whether it was a coinbase. */
export type SpentCoin = [amount: number, script: string, height: number, coinbase: boolean];

export interface KernelJudgement {
  verdicts: KernelVerdict[];
  tip: { height: number; hash: string };
  /** What each block of the best chain spent, in the order of its inputs; only where asked for. */
  spent: Record<string, SpentCoin[]>;
}

/**
 * Gives raw regtest blocks, in this order, to Bitcoin Core's own validation engine, beginning above genesis.
 * About 1,000 blocks a second.
 */
export async function judgeBlocks(
  blocks: readonly Uint8Array[],
  options: { spent?: boolean } = {},
): Promise<KernelJudgement> {
  const python = partPath('kernel', 'kernel/bin/python');
  const script = fileURLToPath(new URL('judge.py', import.meta.url));
  // The judge ends by itself when its input does, also when this process dies.
  const child = spawn(python, [script, ...(options.spent ? ['--spent'] : [])], { stdio: ['pipe', 'pipe', 'pipe'] });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  // A judge that dies early closes the pipe; its exit code and words say more than EPIPE would.
  child.stdin.on('error', () => undefined);
  child.stdin.end(blocks.map((block) => `${Buffer.from(block).toString('hex')}\n`).join(''));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the judge ended with ${code}:\n${Buffer.concat(errors).toString('utf8')}`);
  const lines = Buffer.concat(output).toString('utf8').trim().split('\n');
  const { tip, spent } = JSON.parse(lines.pop() ?? '') as Pick<KernelJudgement, 'tip' | 'spent'>;
  return { tip, spent, verdicts: lines.map((line) => JSON.parse(line) as KernelVerdict) };
}
