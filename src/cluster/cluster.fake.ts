/** A cluster in memory that shows what a test puts there. */

import { collectSeen } from '../core/cluster-objects.ts';
import type { ClusterObject, Seen } from '../core/cluster-views.ts';
import type {
  ClusterCatalogue,
  ClusterKnowledge,
  ClusterListener,
  ClusterWatch,
  WatchState,
} from './cluster.ts';

/** Nothing of a cluster can be told, and nothing is in the way. */
const UNKNOWN: ClusterKnowledge = {
  complete: true,
  runtimes: null,
  kserveVersion: null,
  structure: null,
  settings: null,
  knative: null,
  warnings: [],
};

export class FakeCluster implements ClusterWatch, ClusterCatalogue {
  readonly watch: ClusterWatch = this;
  readonly catalogue: ClusterCatalogue = this;
  readonly listeners = new Set<ClusterListener>();
  /** How often somebody looked at a target. */
  looks = 0;
  /** What comes of asking whether it is there. */
  checked = async (): Promise<void> => {};
  known: ClusterKnowledge = UNKNOWN;
  started = false;
  #state: WatchState = { listed: true, trouble: null };
  readonly #objects = new Map<string, ClusterObject[]>();

  start(): void {
    this.started = true;
  }
  async stop(): Promise<void> {
    this.started = false;
  }
  seen(namespace: string, name: string): Seen {
    this.looks += 1;
    return collectSeen(name, this.#objects.get(`${namespace}/${name}`) ?? [], 'present');
  }
  state(): WatchState {
    return this.#state;
  }
  check(): Promise<void> {
    return this.checked();
  }
  onChange(listener: ClusterListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  knowledge(): ClusterKnowledge {
    return this.known;
  }

  /** Shows these objects, and no others, of one service. */
  show(namespace: string, name: string, ...objects: ClusterObject[]): void {
    this.#objects.set(`${namespace}/${name}`, objects);
    this.tell(namespace, name);
  }
  /** What stands between us and it, or nothing. */
  become(state: Partial<WatchState>): void {
    this.#state = { listed: true, trouble: null, ...state };
    this.tell(null, null);
  }
  /** Says that something may have changed. */
  tell(namespace: string | null, name: string | null): void {
    for (const listener of this.listeners) listener(namespace, name);
  }
}
