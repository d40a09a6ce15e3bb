import { ConfigError } from './config-error.js';
import { readUrl, type Get } from './config-values.js';

/** What the environment says of traces. */
export interface TracesConfig {
  /** Undefined: none are made. */
  traces: TracesTarget | undefined;
}

export interface TracesTarget {
  /** Where OTLP over HTTP is posted to, `/v1/traces` included. */
  url: string;
  serviceName: string;
  /** Of requests whose caller has not decided: which part of them is traced, 0 to 1. */
  ratio: number;
}

const SERVICE_NAME = /^[A-Za-z0-9._-]{1,100}$/;

/**
 * The names are OpenTelemetry's own. Headers, for a receiver that wants a key, its exporter reads itself (OTEL_EXPORTER_OTLP_HEADERS).
 *
 * @throws ConfigError naming the variable
 */
export function readTracesConfig(get: Get): TracesConfig {
  const base = readUrl(get, 'OTEL_EXPORTER_OTLP_ENDPOINT', ['http:', 'https:']);
  const serviceName = get('OTEL_SERVICE_NAME') ?? 'tallystick';
  if (!SERVICE_NAME.test(serviceName)) {
    throw new ConfigError('OTEL_SERVICE_NAME', `'${serviceName}' does not match ${SERVICE_NAME.source}`);
  }
  const text = get('OTEL_TRACES_SAMPLER_ARG') ?? '1';
  const ratio = Number(text);
  if (!/^\d+(\.\d{1,9})?$/.test(text) || ratio > 1) {
    throw new ConfigError('OTEL_TRACES_SAMPLER_ARG', `'${text}' is not a number from 0 to 1`);
  }
  if (base === undefined) return { traces: undefined };
  // As OpenTelemetry's exporters do: the path of the signal is added to that of the endpoint.
  return { traces: { url: `${base.replace(/\/+$/, '')}/v1/traces`, serviceName, ratio } };
}
