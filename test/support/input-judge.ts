import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { partPath } from './parts.js';

export interface InputsToJudge {
  /** Raw, in hex. */
  transaction: string;
  /** What its inputs spend, in their order. */
  coins: readonly { script: string; amountSats: bigint }[];
}

/** For each transaction what Bitcoin Core's own validation engine says of each of its inputs: `good`, or why not. */
export async function judgeInputs(requests: readonly InputsToJudge[]): Promise<string[][]> {
  const python = partPath('kernel', 'kernel/bin/python');
  const child = spawn(python, [fileURLToPath(new URL('judge_inputs.py', import.meta.url))]);
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  // A judge that dies early closes the pipe; its exit code and words say more than EPIPE would.
  child.stdin.on('error', () => undefined);
  const lines = requests.map(({ transaction, coins }) =>
    JSON.stringify({ transaction, coins: coins.map(({ script, amountSats }) => [Number(amountSats), script]) }),
  );
  child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the judge ended with ${code}:\n${Buffer.concat(errors).toString('utf8')}`);
  const answers = Buffer.concat(output).toString('utf8').trim().split('\n');
  return answers.map((line) => JSON.parse(line) as string[]);
}
