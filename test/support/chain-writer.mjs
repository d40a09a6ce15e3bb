// Run by a test that kills it: changes a built-in chain without pause, and says on stdout what has been promised.
// Arguments: the directory of the chain, and the compiled module that opens it.
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';

const [directory, modulePath] = process.argv.slice(2);
const { openRegtestChain } = await import(modulePath);
const chain = await openRegtestChain({ directory, now: Date.now, random: randomBytes });
// Synchronous: what has been printed was promised before the kill came.
const promise = (line) => writeSync(1, `${JSON.stringify(line)}\n`);

async function change(round) {
  if (round % 5 === 4) {
    const { connected } = await chain.reorg({ depth: 2, blocks: 3 });
    promise({ tip: connected.at(-1), height: chain.tip().height });
  } else {
    const { txid } = await chain.pay({ address: chain.minerAddress, amountSats: 10_000n });
    promise({ txid });
    const { hashes } = await chain.mine({ blocks: 1 + (round % 3) * 20 });
    promise({ tip: hashes.at(-1), height: chain.tip().height });
  }
}

const nameOf = async (call) => {
  try {
    await call();
    return 'answered';
  } catch (error) {
    return error.name;
  }
};

try {
  for (let round = 0; ; round += 1) await change(round);
} catch (error) {
  const after = {
    tip: await nameOf(() => chain.tip()),
    mine: await nameOf(() => chain.mine({ blocks: 1 })),
    block: await nameOf(() => chain.block('00')),
  };
  promise({ error: error.message, after });
}
await chain.close();
