/** `/healthz` and `/readyz`: for Kubernetes by their status, for people by their words. */
import { Hono } from 'hono';
import type { PolicySource } from '../policies/policies.ts';
import { type Store, StoreUnavailableError } from '../store/store.ts';

export interface HealthDependencies {
  store: Pick<Store, 'lifecycle'>;
  policies: Pick<PolicySource, 'current' | 'status'>;
}

/** @returns why the store cannot be used; null where a write just went through */
async function storeTrouble({ lifecycle }: Pick<Store, 'lifecycle'>): Promise<string | null> {
  try {
    await lifecycle.check();
    return null;
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error;
    return `The store cannot be written: ${error.message}. Webhooks are answered 503 until it can.`;
  }
}

/** @returns why there are no policies yet; null once some were loaded, however old they are */
function policiesTrouble(policies: Pick<PolicySource, 'current' | 'status'>): string | null {
  if (policies.current() !== null) return null;
  const { repository, branch, faults, unreachable } = policies.status();
  const reason =
    unreachable ??
    (faults.length > 0 ? 'its head has faults, see policies.faults' : 'its head has not been read yet');
  return `No policies are in force, so events wait: ${reason} (${repository}, branch ${branch}).`;
}

/** The routes of the two health checks. */
export function createHealth({ store, policies }: HealthDependencies): Hono {
  const app = new Hono();

  app.get('/healthz', (c) => c.json({ status: 'alive' }));

  app.get('/readyz', async (c) => {
    const troubles = [await storeTrouble(store), policiesTrouble(policies)].filter(
      (trouble) => trouble !== null,
    );
    const ready = troubles.length === 0;
    return c.json({ ready, notReady: troubles, policies: policies.status() }, ready ? 200 : 503);
  });

  return app;
}
