import { describe, expect, it } from 'vitest';
import { readTracesConfig } from './traces-config.js';

const read = (env: Record<string, string>) => readTracesConfig((name) => env[name]);
const ENDPOINT = 'OTEL_EXPORTER_OTLP_ENDPOINT';

describe('configuration of traces', () => {
  it('makes none unless a receiver is named', () => {
    expect(read({ OTEL_SERVICE_NAME: 'x' })).toEqual({ traces: undefined });
  });

  it('adds the path of traces to that of the receiver', () => {
    expect(read({ [ENDPOINT]: 'http://127.0.0.1:4318' }).traces).toEqual({
      url: 'http://127.0.0.1:4318/v1/traces',
      serviceName: 'tallystick',
      ratio: 1,
    });
    expect(read({ [ENDPOINT]: 'https://otel/a/' }).traces?.url).toBe('https://otel/a/v1/traces');
  });

  it.each([
    [{ [ENDPOINT]: 'grpc://otel:4317' }, ENDPOINT],
    [{ OTEL_TRACES_SAMPLER_ARG: '1.5' }, 'OTEL_TRACES_SAMPLER_ARG'],
    [{ OTEL_TRACES_SAMPLER_ARG: 'half' }, 'OTEL_TRACES_SAMPLER_ARG'],
    [{ OTEL_SERVICE_NAME: 'two words' }, 'OTEL_SERVICE_NAME'],
  ])('refuses %j and names the variable', (env, name) => {
    expect(() => read(env)).toThrow(name);
  });
});
