import { cpus, totalmem } from 'node:os';
import type { BenchRow } from './bench-row.js';

/** Every bench: a ratio, in one run, against something real. Order: cheap first. */
const BENCHES: Readonly<Record<string, () => Promise<(options: { quick: boolean }) => Promise<BenchRow[]>>>> = {
  scan: async () => (await import('./scan.js')).runScanBench,
  append: async () => (await import('./append.js')).runAppendBench,
  relay: async () => (await import('./relay.js')).runRelayBench,
  http: async () => (await import('./http.js')).runHttpBench,
  withdraw: async () => (await import('./withdraw.js')).runWithdrawBench,
  visible: async () => (await import('./visible.js')).runVisibleBench,
  rebuild: async () => (await import('./rebuild.js')).runRebuildBench,
  select: async () => (await import('./select.js')).runSelectBench,
  payout: async () => (await import('./payout.js')).runPayoutBench,
  watch: async () => (await import('./watch.js')).runWatchBench,
  'as-of': async () => (await import('./as-of.js')).runAsOfBench,
  growth: async () => (await import('./growth.js')).runGrowthBench,
  'cdc-latency': async () => (await import('./cdc/latency.js')).runCdcLatencyBench,
  'cdc-throughput': async () => (await import('./cdc/throughput.js')).runCdcThroughputBench,
  gap: async () => (await import('./cdc/gap.js')).runGapBench,
  scale: async () => (await import('./cdc/scale.js')).runScaleBench,
};

/** They need Java, Maven and the parts of the pipeline: run by name, or with `--cdc` together with all others. */
const OF_CDC: ReadonlySet<string> = new Set(['cdc-latency', 'cdc-throughput', 'gap', 'scale']);

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const wanted = args.filter((arg) => !arg.startsWith('--'));
const unknown = wanted.filter((name) => !Object.hasOwn(BENCHES, name));
if (unknown.length > 0) {
  process.stderr.write(`no bench named ${unknown.join(', ')}: there are ${Object.keys(BENCHES).join(', ')}\n`);
  process.exit(2);
}

if (wanted.length === 0 && !args.includes('--cdc')) {
  process.stdout.write(`${[...OF_CDC].join(', ')}: not without --cdc (they need Java, Maven and a network)\n\n`);
}
const cores = cpus();
process.stdout.write(
  `${new Date().toISOString().slice(0, 10)} · ${cores.length} × ${cores[0]?.model.trim()} · ${Math.round(totalmem() / 2 ** 30)} GiB · ` +
    `Node ${process.versions.node}${quick ? ' · quick' : ''}\n\n| bench | measure | here | reference | ratio | goal | met |\n|---|---|---|---|---|---|---|\n`,
);
for (const [name, load] of Object.entries(BENCHES)) {
  const isWanted = wanted.length > 0 ? wanted.includes(name) : !OF_CDC.has(name) || args.includes('--cdc');
  if (!isWanted) continue;
  const run = await load();
  for (const row of await run({ quick })) {
    process.stdout.write(
      `| ${row.bench} | ${row.measure} | ${row.value} | ${row.reference} | ${row.ratio.toFixed(2)} | ${row.goal} | ${row.met ? 'yes' : 'no'} |\n`,
    );
    if (row.note !== undefined) process.stdout.write(`|  | ${row.note} | | | | | |\n`);
  }
}
