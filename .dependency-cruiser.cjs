/** Who may import whom. The tree is the data flow; modules meet at ports. */
const layer = (name, from, allowed, except) => ({
  name,
  severity: 'error',
  from: { path: `^src/${from}/`, pathNot: '\\.test\\.ts$|\\.contract\\.ts$' },
  to: { path: '^src/', pathNot: [`^src/${from}/`, ...allowed.map((path) => `^src/${path}`)] },
  ...(except ? { comment: except } : {}),
});

const EVENT_STORE_PORT = 'eventstore/event-store\\.ts$';
const OUTBOX_PORT = 'outbox/outbox\\.ts$';

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    layer('domain-is-pure', 'domain', ['platform/assert\\.ts$']),
    {
      name: 'domain-no-io',
      severity: 'error',
      from: { path: '^src/domain/', pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['npm', 'core'], pathNot: 'node_modules/(zod|immutable)/|^crypto$' },
    },
    layer('platform-underneath', 'platform', ['domain/primitives\\.ts$']),
    layer('eventstore', 'eventstore', ['domain/', 'platform/']),
    layer('outbox', 'outbox', ['domain/', 'platform/', EVENT_STORE_PORT, 'eventstore/']),
    layer('bitcoin', 'bitcoin', ['domain/', 'platform/', EVENT_STORE_PORT, OUTBOX_PORT]),
    layer('projections', 'projections', ['domain/', 'platform/', EVENT_STORE_PORT, OUTBOX_PORT]),
    layer('command', 'command', ['domain/', 'platform/', 'bitcoin/', EVENT_STORE_PORT, OUTBOX_PORT]),
    layer('query', 'query', [
      'domain/',
      'platform/',
      'projections/',
      'bitcoin/network\\.ts$',
      EVENT_STORE_PORT,
      OUTBOX_PORT,
    ]),
    layer('workflow', 'workflow', [
      'domain/',
      'platform/',
      'bitcoin/(descriptors|payment)/',
      'bitcoin/network\\.ts$',
      'projections/read/',
      EVENT_STORE_PORT,
      OUTBOX_PORT,
    ]),
    {
      name: 'no-test-code-in-product',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.(test|contract)\\.ts$' },
      to: { path: '^(test|bench|scripts)/|vitest|fast-check|\\.test\\.ts$' },
    },
    {
      name: 'nobody-imports-the-composition',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(app|cli)/' },
      to: { path: '^src/(app|cli)/' },
    },
    {
      name: 'declared-dependencies-only',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.(test|contract)\\.ts$' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
