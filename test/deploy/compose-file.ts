import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

export const ROOT = join(import.meta.dirname, '..', '..');

const serviceSchema = z.object({
  image: z.string(),
  build: z.string().optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  secrets: z.array(z.string()).default([]),
  restart: z.string(),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  stop_grace_period: z.string().optional(),
});
const composeSchema = z.object({
  services: z.record(z.string(), serviceSchema),
  volumes: z.record(z.string(), z.unknown()),
  secrets: z.record(z.string(), z.object({ environment: z.string() })),
});
export type Service = z.infer<typeof serviceSchema>;
export type Compose = z.infer<typeof composeSchema>;

/** `docker-compose.yml` as written, before anything is filled in. */
export function readCompose(): Compose {
  return composeSchema.parse(parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }));
}

/** What `npm run compose:env` makes of an `.env` that says `before`; none where that is not given. */
export function makeEnvironment(before?: string): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'tallystick-env-'));
  try {
    const file = join(folder, '.env');
    if (before !== undefined) writeFileSync(file, before);
    const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'scripts/compose-env.mjs'), folder], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
    if ((statSync(file).mode & 0o077) !== 0) throw new Error(`${file} can be read by others`);
    const lines = readFileSync(file, 'utf8').split('\n');
    return Object.fromEntries(
      lines.flatMap((line) => {
        const match = /^([A-Z_]+)=(.*)$/.exec(line);
        return match?.[1] === undefined ? [] : [[match[1], match[2] ?? '']];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A value with its variables filled in, as compose does it: `${A:-else}`, `${A:?why}`, `$$`. @throws Error where one is missing */
export function fillIn(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(
    /\$(\$|\{([A-Z_]+)(?::([-?])([^}]*))?\})/g,
    (_all, whole: string, name: string, kind, rest: string) => {
      if (whole === '$') return '$';
      const value = env[name] ?? '';
      if (value !== '') return value;
      if (kind === '-') return rest;
      if (kind === '?') throw new Error(`${name}: ${rest}`);
      return '';
    },
  );
}
