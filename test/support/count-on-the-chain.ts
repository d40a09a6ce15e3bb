import { spawn } from 'node:child_process';
import { join } from 'node:path';

const SCRIPT = join(import.meta.dirname, '..', '..', 'examples', 'count-payments.mjs');

/** Runs the example for users that counts payments, in a process of its own, on block files or on a node. */
export async function countOnTheChain(
  asked: readonly { address: string; amountSats: bigint }[],
  from: { files: readonly string[] } | { nodeUrl: string },
): Promise<{ code: number | null; output: string }> {
  const isFiles = 'files' in from;
  const child = spawn(process.execPath, [SCRIPT, ...(isFiles ? from.files : [])], {
    env: { ...process.env, ...(isFiles ? {} : { BITCOIN_RPC_URL: from.nodeUrl }) },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.end(asked.map(({ address, amountSats }) => `${address},${amountSats}\n`).join(''));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}
