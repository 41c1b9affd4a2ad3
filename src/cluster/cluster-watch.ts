/** Watches one cluster: one list and watch a kind, or a kind and namespace where RBAC is limited to namespaces. */
import { setTimeout as wait } from 'node:timers/promises';
import type { ClusterKind, Seen } from '../core/cluster-views.ts';
import { messageOf } from '../core/errors.ts';
import { type JsonObject, valueAt } from '../core/json.ts';
import type { Deed } from './api-failure.ts';
import { createCatalogue } from './catalogue.ts';
import type {
  ClusterCatalogue,
  ClusterListener,
  ClusterUnavailableError,
  ClusterWatch,
  WatchState,
} from './cluster.ts';
import { keepWatching, keyOf, type Standing } from './list-watch.ts';
import { createObjectShelf } from './object-shelf.ts';
import {
  discoveryPath,
  NAMESPACES,
  OBJECTS,
  pathOf,
  type Resource,
  selectorOf,
  watchDeed,
} from './resources.ts';
import { makeSource, type Source, troubleOf, type WatchOptions } from './source.ts';

const VERSION: Deed = {
  verb: 'read its version',
  grant: 'grant it the ClusterRole system:public-info-viewer',
  missing: { what: 'has no version', fix: 'look at what answers there' },
};

export function createClusterWatch(options: WatchOptions): {
  watch: ClusterWatch;
  catalogue: ClusterCatalogue;
} {
  const { api, name, namespaces, log, now, pace } = options;
  const listeners = new Set<ClusterListener>();
  const stopping = new AbortController();
  let running: Promise<void>[] = [];
  /** Ends every wait: what is back for one watch is back for all. */
  let waking = new AbortController();
  /** Ends every connection of a watch. */
  let breaking = new AbortController();
  /** By a clock that nobody sets. */
  let heardAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | null = null;

  const tell: ClusterListener = (namespace, service) => {
    for (const listener of listeners) {
      try {
        listener(namespace, service);
      } catch (error) {
        log.error({ cluster: name, error: messageOf(error) }, 'what listens to a cluster failed');
      }
    }
  };
  /** Before everything is listed each object would be a change. */
  const shelf = createObjectShelf((namespace, service) => {
    if (sourcesFor(namespace).every(({ listed }) => listed)) tell(namespace, service);
  });
  const phases = new Map<string, 'present' | 'terminating'>();
  const sourcesOf = (namespace: string | null): Source[] => [
    ...OBJECTS.map(([kind, resource]) =>
      makeSource(resource, { namespace, name: null }, objectSink(kind, namespace)),
    ),
  ];
  const namespaceSource = makeSource(NAMESPACES, { namespace: null, name: null }, namespaceSink());
  const objects = (namespaces.length === 0 ? [null] : namespaces).flatMap(sourcesOf);
  const watched = namespaces.length === 0 ? [namespaceSource, ...objects] : objects;
  const {
    catalogue,
    sources: factSources,
    removal,
  } = createCatalogue({
    ...options,
    changed: () => tell(null, null),
    ofKnative: objects.filter(({ resource }) => resource.optional),
  });

  function objectSink(kind: ClusterKind, namespace: string | null): Source['sink'] {
    return {
      put: (object) => shelf.put(kind, object),
      drop: (object) => shelf.drop(kind, object),
      keepOnly: (keys) => shelf.keepOnly(kind, namespace, keys),
    };
  }

  function namespaceSink(): Source['sink'] {
    const set = (key: string, phase: 'present' | 'terminating' | undefined): void => {
      const namespace = key.slice(1);
      if (phases.get(namespace) === phase) return;
      if (phase === undefined) phases.delete(namespace);
      else phases.set(namespace, phase);
      if (namespaceSource.listed) tell(namespace, null);
    };
    const phaseOf = (object: JsonObject) =>
      valueAt(object, ['status', 'phase']) === 'Terminating' ? 'terminating' : 'present';
    return {
      put: (object) => set(keyOf(object), phaseOf(object)),
      drop: (object) => set(keyOf(object), undefined),
      keepOnly: (keys) => {
        for (const namespace of [...phases.keys()])
          if (!keys.has(`/${namespace}`)) set(`/${namespace}`, undefined);
      },
    };
  }

  function phaseOf(namespace: string): Seen['namespace'] {
    if (!namespaceSource.listed) return null;
    return phases.get(namespace) ?? 'absent';
  }

  const sourcesFor = (namespace: string): Source[] =>
    watched.filter(({ scope }) => scope.namespace === null || scope.namespace === namespace);

  function state(namespace: string): WatchState {
    if (namespaces.length > 0 && !namespaces.includes(namespace))
      return { listed: false, trouble: notWatched(namespace) };
    const relevant = watched.filter(({ scope }) => scope.namespace === null || scope.namespace === namespace);
    return {
      listed: relevant.every(({ listed }) => listed),
      trouble: troubleOf(name, [...relevant, removal], now()),
    };
  }

  const notWatched = (namespace: string): WatchState['trouble'] => ({
    since: 0,
    message: `cluster ${name} is watched in ${namespaces.join(', ')} only, not in namespace ${namespace}; add it to clusters.${name}.namespaces`,
  });

  function report(source: Source, { trouble: error, listed, absent }: Standing): void {
    const before = source.trouble;
    const isNew =
      before?.error.message !== error?.message || source.listed !== listed || source.absent !== absent;
    source.listed = listed;
    source.absent = absent;
    // The same kind of trouble goes on since it began, whatever the words are this time.
    const since = before?.error.problem.kind === error?.problem.kind ? before?.since : undefined;
    source.trouble = error === null ? null : { since: since ?? now(), error };
    source.reported.resolve();
    if (!isNew) return;
    logTrouble(source, before !== null);
    if (before !== null && error === null) {
      waking.abort();
      waking = new AbortController();
    }
    tell(source.scope.namespace, null);
  }

  /** Most troubles are those of every watch. */
  function logTrouble(source: Source, hadTrouble: boolean): void {
    const others = [...watched, ...factSources].filter((other) => other !== source);
    const said = source.trouble?.error.message;
    if (said !== undefined && others.every(({ trouble }) => trouble?.error.message !== said))
      log.warn({ cluster: name }, said);
    if (said === undefined && hadTrouble && others.every(({ trouble }) => trouble === null))
      log.info({ cluster: name }, `cluster ${name} is watched again`);
  }

  const heard = (): void => {
    heardAt = performance.now();
  };

  /** By a request that everybody may make. Any answer shows that connections lead to it, but for that of a balancer. */
  async function askWhetherThere(): Promise<void> {
    try {
      const late = AbortSignal.timeout(pace.sign);
      const answer = await api.ask({ path: '/version' }, AbortSignal.any([stopping.signal, late]));
      if (answer.status >= 500) throw api.refusal(answer, VERSION);
      heard();
    } catch (error) {
      if (!stopping.signal.aborted) cutOff(api.broken(error));
    }
  }

  /** What was open may never bring anything again, so each watch begins anew, and tells how it fares. */
  function cutOff(trouble: ClusterUnavailableError): void {
    for (const source of [...watched, ...factSources])
      if (source.trouble === null && !source.absent) report(source, { ...source, trouble });
    breaking.abort();
    breaking = new AbortController();
  }

  async function run(source: Source, after: Promise<unknown>): Promise<void> {
    await after;
    const { resource, scope, sink } = source;
    await keepWatching(
      {
        api,
        path: pathOf(resource, scope.namespace),
        query: selectorOf(resource, scope),
        deed: watchDeed(resource, scope),
        isAbsent: (error) => isAbsent(resource, error),
        sink: { ...sink, report: (standing) => report(source, standing) },
        pace,
        heard,
        breaking: () => breaking.signal,
        pause: (span) =>
          wait(span, undefined, { signal: AbortSignal.any([stopping.signal, waking.signal]) }).catch(
            () => {},
          ),
      },
      stopping.signal,
    );
  }

  /** RBAC may forbid what is not there, so the API server is asked what there is. */
  async function isAbsent(resource: Resource, { problem }: ClusterUnavailableError): Promise<boolean> {
    if (!resource.optional) return false;
    if (problem.kind === 'missing') return true;
    if (problem.kind !== 'forbidden') return false;
    const answer = await api.ask({ path: discoveryPath(resource) }, stopping.signal).catch(() => null);
    return answer?.status === 404;
  }

  return {
    catalogue,
    watch: {
      start: () => {
        if (running.length > 0) return;
        const isEvents = ({ resource }: Source) => resource.plural === 'events';
        const others = [...watched, ...factSources].filter((source) => !isEvents(source));
        const reported = Promise.all(others.map((source) => source.reported.promise));
        const stopped = new Promise((resolve) => stopping.signal.addEventListener('abort', resolve));
        running = [
          ...others.map((source) => run(source, Promise.resolve())),
          ...watched.filter(isEvents).map((source) => run(source, Promise.race([reported, stopped]))),
        ];
      },
      stop: async () => {
        stopping.abort();
        await Promise.all(running);
        await api.close();
      },
      seen: (namespace, service) => shelf.seen(service, namespace, phaseOf(namespace)),
      state,
      check: async () => {
        const isTrusted = watched.some(({ listed, trouble }) => listed && trouble === null);
        if (!isTrusted || performance.now() - heardAt < pace.quiet) return;
        asking ??= askWhetherThere().finally(() => {
          asking = null;
        });
        await asking;
      },
      onChange: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
}
