/** What is to be applied goes on when the cluster is back, or the namespace is made: nobody waits for a backoff to end. */
import type { Cluster } from '../cluster/cluster.ts';
import { clusterDestination } from '../core/rollout.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import type { Persist } from './retry.ts';

export interface ClusterReturnDeps {
  store: Pick<Store, 'rollouts'>;
  /** By name: those that can be watched. */
  clusters: ReadonlyMap<string, Pick<Cluster, 'watch'>>;
  persist: Persist;
  log: Log;
}

export interface ClusterReturn {
  /** Begins to listen to the clusters. */
  start(): void;
  stop(): void;
}

export function createClusterReturn({ store, clusters, persist, log }: ClusterReturnDeps): ClusterReturn {
  let unsubscribe: (() => void)[] = [];

  /** By a change without a name a watch says that it is up to date again, or that a namespace came or went. */
  const listen = ([cluster, { watch }]: [string, Pick<Cluster, 'watch'>]) =>
    watch.onChange((namespace, name) => {
      if (name !== null || watch.state(namespace ?? '').trouble !== null) return;
      persist(() => store.rollouts.tryAgain(clusterDestination(cluster), namespace)).catch((error: unknown) =>
        log.error({ cluster, err: error }, 'what waits for a cluster that is back goes on later'),
      );
    });

  return {
    start() {
      unsubscribe = [...clusters].map(listen);
    },
    stop() {
      for (const each of unsubscribe.splice(0)) each();
    },
  };
}
