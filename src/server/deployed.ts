/** `GET /api/v1/deployed`: what a change of the policies is judged by, for `modelhook plan --from --to`. */
import { Hono } from 'hono';
import type { Deployed, KnownRef, StoredInputs } from '../core/deployed.ts';
import type { RuntimeCatalogue } from '../core/runtime-catalogue.ts';
import type { Store } from '../store/store.ts';
import { guardRequests } from './api-requests.ts';

/** As JSON: catalogues of runtimes are long and few, so they stand apart. */
export interface DeployedJson {
  deployed: (Omit<Deployed, 'inputs'> & {
    inputs: Omit<StoredInputs, 'runtimes'> & { runtimes: string | null };
  })[];
  catalogues: Record<string, RuntimeCatalogue>;
  refs: KnownRef[];
}

export interface DeployedDependencies {
  store: Pick<Store, 'policyChanges'>;
  /** Any of them will do: runtimes may hold what not everybody may read. None: everybody is refused. */
  apiTokens: readonly string[];
}

export function createDeployed({ store, apiTokens }: DeployedDependencies): Hono {
  const app = new Hono();
  app.get('/', ...guardRequests(apiTokens), async (c) => {
    const [deployed, refs] = await Promise.all([
      store.policyChanges.deployed(),
      store.policyChanges.knownRefs(),
    ]);
    return c.json(deployedJson(deployed, refs));
  });
  return app;
}

function deployedJson(deployed: readonly Deployed[], refs: KnownRef[]): DeployedJson {
  const names = new Map<RuntimeCatalogue, string>();
  const nameOf = (catalogue: RuntimeCatalogue): string => {
    const name = names.get(catalogue) ?? `catalogue ${names.size + 1}`;
    names.set(catalogue, name);
    return name;
  };
  const items = deployed.map(({ inputs: { runtimes, ...inputs }, ...each }) => ({
    ...each,
    inputs: { ...inputs, runtimes: runtimes && nameOf(runtimes) },
  }));
  const catalogues = Object.fromEntries([...names].map(([catalogue, name]) => [name, catalogue]));
  return { deployed: items, catalogues, refs };
}
