import type { HealthCheck } from '../ports.js';

export interface CheckResult {
  ok: boolean;
  detail: string;
}

/** A probe is asked every few seconds: what does not answer within two is not working. */
const CHECK_TIMEOUT_MS = 2_000;

/** All checks at once, by name. One that fails or does not answer in time is not ok; its error goes to `onError`. */
export async function runChecks(
  checks: readonly HealthCheck[],
  onError: (name: string, error: unknown) => void,
  timeoutMs = CHECK_TIMEOUT_MS,
): Promise<Record<string, CheckResult>> {
  const results = await Promise.all(
    checks.map(async ({ name, check }): Promise<[string, CheckResult]> => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<CheckResult>((resolve) => {
        timer = setTimeout(() => {
          resolve({ ok: false, detail: 'does not answer in time' });
        }, timeoutMs);
      });
      const asked = check().catch((error: unknown): CheckResult => {
        onError(name, error);
        return { ok: false, detail: 'does not answer' };
      });
      const result = await Promise.race([asked, late]);
      clearTimeout(timer);
      return [name, result];
    }),
  );
  return Object.fromEntries(results);
}
