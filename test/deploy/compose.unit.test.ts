import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readConfig } from '../../src/platform/config.js';
import { ROLES } from '../../src/platform/distributed-config.js';
import { fillIn, makeEnvironment, readCompose, ROOT } from './compose-file.js';

const { services, volumes, secrets } = readCompose();
const all = Object.entries(services);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** A tag that names one version to its last digit. */
const PINNED = /^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?[0-9a-z._-]*$/;
/** What a name says is secret. */
const SECRET_NAME = /PASSWORD|SECRET|_KEY/;

describe('docker-compose.yml', () => {
  it('pins every image, and those that are built are built from pinned ones', () => {
    const built = all.filter(([, { image }]) => image.endsWith(':local'));
    expect(built.length).toBeGreaterThan(0);
    for (const [name, { image }] of all) if (!image.endsWith(':local')) expect(image, name).toMatch(PINNED);
    for (const [name, { build }] of built) {
      const from = [...read(join(build ?? 'missing', 'Dockerfile')).matchAll(/^FROM (\S+)/gm)].map(
        ([, image]) => image,
      );
      expect(from.length, name).toBeGreaterThan(1);
      for (const image of from) expect(image, name).toMatch(PINNED);
    }
  });

  it('listens on loopback only, on a port of its own each', () => {
    const ports = all.flatMap(([, service]) => service.ports.map((port) => fillIn(port, {})));
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    expect(new Set(ports.map((port) => port.split(':')[1])).size).toBe(ports.length);
  });

  it('holds no secret, and what makes the secrets makes all of them, each once', () => {
    for (const [name, { environment, command = [] }] of all) {
      for (const [variable, value] of Object.entries(environment)) {
        if (SECRET_NAME.test(variable)) expect(value, `${name} ${variable}`).toMatch(/^(\$\{[A-Z_]+:\?[^}]+\},?)+$/);
      }
      for (const text of [...Object.values(environment), ...command]) {
        const password = /:\/\/[^:/@]*:(.*?)@|password=(.*)$/.exec(text.replace(/\$\{[^}]*\}/g, '<variable>'));
        if (password) expect(password[1] ?? password[2], `${name} ${text}`).toBe('<variable>');
      }
    }
    const example = [...read('.env.example').matchAll(/^([A-Z_]+)=(.*)$/gm)];
    for (const [, name = '', value] of example) if (SECRET_NAME.test(name)) expect(value, name).toBe('');

    const [one, other] = [makeEnvironment(), makeEnvironment()];
    const made = Object.keys(one).filter((name) => SECRET_NAME.test(name));
    expect(made.length).toBeGreaterThan(4);
    expect(new Set(made.flatMap((name) => [one[name], other[name]])).size).toBe(2 * made.length);
    for (const name of made) expect(one[name]).toMatch(/^[0-9a-f]{48}$/);
  });

  it('refuses to start without its secrets, and needs nothing that is not made', () => {
    const text = JSON.stringify(services);
    expect(() => fillIn(text, {})).toThrow(/compose:env/);
    expect(() => fillIn(text, makeEnvironment())).not.toThrow();
    for (const { environment } of Object.values(secrets)) expect(makeEnvironment()).toHaveProperty(environment);
    expect(read('.gitignore')).toMatch(/^\.env$/m);
    expect(read('.dockerignore')).toMatch(/^\*$/m);
  });

  it('runs every role once, with variables that the program reads', () => {
    const env = makeEnvironment();
    const known = new Set<string>();
    const roles: string[] = [];
    for (const [name, { environment, image }] of all) {
      if (image !== 'tallystick:local') continue;
      const filled = Object.fromEntries(
        Object.entries(environment).map(([variable, value]) => [variable, fillIn(value, env)]),
      );
      const config = readConfig(
        new Proxy(filled, {
          get: (target, variable: string) => {
            known.add(variable);
            return target[variable];
          },
        }),
      );
      // Of the command `cdc setup` itself.
      known.add('CDC_PASSWORD');
      expect(
        Object.keys(environment).filter((variable) => !known.has(variable)),
        name,
      ).toEqual([]);
      expect(config).toMatchObject({ eventStore: 'eventstoredb', source: 'rpc', host: '0.0.0.0' });
      expect(config.apiKeys).toHaveLength(2);
      expect(config.kafka?.brokers).toEqual(['kafka:9092']);
      if (name === 'setup') continue;
      roles.push(name);
      expect([...config.roles]).toEqual([name]);
    }
    expect(roles.sort()).toEqual([...ROLES].sort());
  });

  it('names services, volumes, secrets and files that are there', () => {
    for (const [name, service] of all) {
      for (const [other, { condition }] of Object.entries(service.depends_on)) {
        expect(services, `${name} needs ${other}`).toHaveProperty(other);
        if (condition === 'service_healthy') expect(services[other]?.healthcheck, other).toBeDefined();
        else expect(services[other]?.restart, other).toBe('no');
      }
      for (const volume of service.volumes) {
        const [source = ''] = volume.split(':');
        if (source.startsWith('./')) expect(existsSync(join(ROOT, source)), `${name} mounts ${source}`).toBe(true);
        else expect(volumes, name).toHaveProperty(source);
      }
      for (const secret of service.secrets) expect(secrets, name).toHaveProperty(secret);
    }
    const used = new Set(all.flatMap(([, service]) => service.volumes.map((volume) => volume.split(':')[0])));
    expect([...used].filter((source) => !source?.startsWith('./')).sort()).toEqual(Object.keys(volumes).sort());
  });

  it('checks the health of everything that goes on running', () => {
    for (const [name, { restart, healthcheck, image }] of all) {
      if (restart === 'no') continue;
      const isInImage = image === 'tallystick:local' && /^HEALTHCHECK/m.test(read('Dockerfile'));
      expect(healthcheck !== undefined || isInImage, name).toBe(true);
    }
  });

  it('runs the connector with the files that the tests use, and gives it all that they ask for', () => {
    const dockerfile = read('debezium/Dockerfile');
    for (const file of ['server.properties', 'worker.properties', 'connector.json', 'log4j2.yaml', 'container.sh']) {
      expect(dockerfile).toMatch(new RegExp(`^COPY .*${file.replace('.', '\\.')}.* \\./$`, 'm'));
      expect(existsSync(join(ROOT, 'debezium', file)), file).toBe(true);
    }
    const asked = [...read('debezium/connector.json').matchAll(/\$\{env:([A-Z_]+)\}/g)].map(([, name]) => name ?? '');
    expect(asked.length).toBeGreaterThan(0);
    const { environment = {} } = services['connect'] ?? {};
    for (const name of asked) expect(environment, name).toHaveProperty(name);
    expect(services['connect']?.build).toBe('debezium');
    // The same password, database and user on both sides.
    const { environment: database = {} } = services['postgres'] ?? {};
    expect(environment['CDC_DATABASE_NAME']).toBe(database['POSTGRES_DB']);
    expect(environment['CDC_DATABASE_PASSWORD']).toBe(services['setup']?.environment['CDC_PASSWORD']);
    expect(read('debezium/roles.sql')).toContain(`ROLE ${environment['CDC_DATABASE_USER'] ?? ''} `);
  });

  it('lets Prometheus read the metrics of every role', () => {
    const prometheus = parse(read('deploy/prometheus/prometheus.yml')) as {
      rule_files: string[];
      scrape_configs: {
        authorization: { credentials_file: string };
        dns_sd_configs: { names: string[]; port: number }[];
      }[];
    };
    const [job] = prometheus.scrape_configs;
    expect([...(job?.dns_sd_configs[0]?.names ?? [])].sort()).toEqual([...ROLES].sort());
    expect(String(job?.dns_sd_configs[0]?.port)).toBe(services['api']?.environment['PORT']);
    expect(services['prometheus']?.secrets.map((name) => `/run/secrets/${name}`)).toEqual([
      job?.authorization.credentials_file,
    ]);
    for (const file of prometheus.rule_files) expect(existsSync(join(ROOT, 'deploy/prometheus', file))).toBe(true);
    const env = makeEnvironment();
    expect(fillIn(services['api']?.environment['API_KEYS'] ?? '', env).split(',')).toContain(env['METRICS_KEY']);
  });
});

describe('Dockerfile', () => {
  const [, image = ''] = read('Dockerfile').split(/^FROM .*(?<!AS build)$/m);

  it('runs as a user of its own, gets its signals itself, and says how it is', () => {
    expect(image).toMatch(/^USER node$/m);
    expect(image).toMatch(/^ENTRYPOINT \["node", /m);
    expect(image).toMatch(/^CMD \["start"\]$/m);
    expect(image).toMatch(/^HEALTHCHECK .*\\\n +CMD \["node", /m);
    expect(read('debezium/Dockerfile')).toMatch(/^USER cdc$/m);
    // The shell is replaced by what it starts.
    expect(read('debezium/container.sh')).toMatch(/^ {2}exec java /m);
  });

  it('has every file that the program reads beside its own', () => {
    const copied = [...image.matchAll(/^COPY (?:--from=\S+ )?(\S+) \S+$/gm)].map(([, source = '']) =>
      source.replace('/build/', ''),
    );
    const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
    const asked = files
      .filter((file) => file.endsWith('.ts') && !file.includes('.test.') && !file.includes('generate-'))
      .flatMap((file) =>
        [...read(join('src', file)).matchAll(/new URL\('([^']+)', import\.meta\.url\)/g)].map(([, to = '']) =>
          normalize(join('src', dirname(file), to)),
        ),
      )
      .filter((path) => !path.startsWith('src'));
    expect(asked.length).toBeGreaterThan(1);
    for (const path of asked) expect(copied).toContain(path);
  });
});

describe('npm run compose:env', () => {
  it('keeps what is there, and adds what is not', () => {
    const kept = makeEnvironment('POSTGRES_PASSWORD=as-it-was-made\nLEDGER=a,b\nAPI_KEY=\nAPI_PORT=4000\n');
    expect(kept).toMatchObject({ POSTGRES_PASSWORD: 'as-it-was-made', LEDGER: 'a,b', API_PORT: '4000' });
    for (const name of ['API_KEY', 'METRICS_KEY']) expect(kept[name]).toMatch(/^[0-9a-f]{48}$/);
  });
});
