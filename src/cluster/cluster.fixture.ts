/** Parts that tests of clusters share. */
import type { JsonObject } from '../core/json.ts';
import type { Log } from '../telemetry/log.ts';
import type { Cluster, ClusterWatch } from './cluster.ts';
import type { Pace } from './list-watch.ts';

export const SILENT_LOG: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Tries again at once, so that no test waits. */
export const HASTY: Pace = {
  answer: 5_000,
  page: 3,
  quiet: 60_000,
  sign: 5_000,
  silence: 60_000,
  watch: 300,
  first: 5,
  most: 50,
  absent: 50,
};

/** @returns once it holds; it is looked at now, and with every change that is told */
export function until(watch: ClusterWatch, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!holds()) return;
      end();
      resolve();
    };
    const end = watch.onChange(look);
    look();
  });
}

/** @returns once everything of a namespace is listed, and nothing is wrong */
export const untilListed = ({ watch }: Cluster, namespace: string): Promise<void> =>
  until(watch, () => watch.state(namespace).listed && watch.state(namespace).trouble === null);

export type Named = JsonObject & { metadata: JsonObject & { name: string } };

/** An InferenceService with some URL, which shows in what is kept of it. */
export const serviceOf = (namespace: string, name: string, url = ''): Named => ({
  apiVersion: 'serving.kserve.io/v1beta1',
  kind: 'InferenceService',
  metadata: { namespace, name, uid: `uid-${namespace}-${name}` },
  spec: { predictor: { minReplicas: 1, model: { modelFormat: { name: 'sklearn' } } } },
  status: { url },
});

/** A pod of an InferenceService. */
export const podOf = (namespace: string, service: string, name: string, phase = 'Pending'): Named => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    namespace,
    name,
    uid: `uid-${namespace}-${name}`,
    labels: { 'serving.kserve.io/inferenceservice': service, component: 'predictor' },
  },
  status: { phase },
});

/** A warning about a pod. */
export const eventOf = (
  namespace: string,
  name: string,
  about: string,
  reason = 'Failed',
  second = 1,
): Named => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { namespace, name, uid: `uid-${name}` },
  involvedObject: { kind: 'Pod', namespace, name: about, uid: `uid-${namespace}-${about}` },
  type: 'Warning',
  reason,
  message: `${reason} ${name}`,
  lastTimestamp: new Date(second * 1000).toISOString(),
});
