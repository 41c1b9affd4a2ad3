/** What pods say about a rollout: why they cannot run, and what they are at. */
import type { ComponentView, ContainerView, EventView, PodView, Seen } from './cluster-views.ts';
import type { Failure, Patience, Wanted } from './readiness-cause.ts';

/** Reasons of the kubelet (pkg/kubelet/images, pkg/kubelet/kuberuntime) for a container that waits. */
const CANNOT_PULL: readonly (string | null)[] = [
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'ImageInspectError',
];
const CANNOT_CREATE: readonly (string | null)[] = [
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
];

/** Downloads the model before the server starts (KServe pkg/webhook/admission/pod/storage_initializer_injector.go). */
const DOWNLOADER = 'storage-initializer';

/**
 * Picks the pods that are of this rollout: by the hash of their own annotation, so an old pod's crash is not ours. A
 * component without a hash (a transformer that a GitOps overlay adds) has those of its newest ReplicaSet.
 */
export function podsOf(component: ComponentView, seen: Seen): PodView[] {
  const pods = seen.pods.filter((pod) => pod.component === component.component && !pod.deleting);
  if (component.specHash !== null) return pods.filter((pod) => pod.specHash === component.specHash);
  const sets = seen.replicaSets.filter((set) => set.component === component.component);
  const newest = Math.max(...sets.map((set) => set.deploymentRevision));
  const owners = sets.filter((set) => set.deploymentRevision === newest).map((set) => set.uid);
  return pods.filter((pod) => pod.owner !== null && owners.includes(pod.owner));
}

/** @returns why pods of a component do not serve, the weightiest first */
export function podFailures(wanted: Wanted, seen: Seen, pods: PodView[], patience: Patience): Failure[] {
  const running = pods.filter((pod) => pod.phase !== 'Failed');
  return [
    ...running.flatMap((pod) =>
      pod.containers.flatMap((container) => containerFailures(wanted, pod, container, patience)),
    ),
    ...failedPods(wanted, pods),
    ...running.flatMap((pod) => schedulingFailures(wanted, seen, pod, patience)),
  ];
}

function containerFailures(
  wanted: Wanted,
  pod: PodView,
  container: ContainerView,
  patience: Patience,
): Failure[] {
  const { grace } = wanted.readiness;
  const reason = container.waiting?.reason ?? null;
  const key = `${pod.name}/${container.name}`;
  if (CANNOT_PULL.includes(reason))
    return patience.exceeded(`imagePull/${key}`, grace.imagePull) ? [imagePull(pod, container)] : [];
  // A Secret or ConfigMap may come late, like an image.
  if (CANNOT_CREATE.includes(reason))
    return patience.exceeded(`containerConfig/${key}`, grace.imagePull)
      ? [containerConfig(pod, container)]
      : [];
  if (!hasCrashed(container) || container.restarts < restartsAllowed(wanted, container)) return [];
  if (container.ended?.reason === 'OOMKilled') return [outOfMemory(pod, container)];
  return [isDownload(container) ? download(container) : crashLoop(wanted, pod, container)];
}

const isDownload = (container: ContainerView): boolean => container.init && container.name === DOWNLOADER;

/** A model that could not be downloaded twice is missing or refused; one failure may be the network's. */
const restartsAllowed = (wanted: Wanted, container: ContainerView): number =>
  isDownload(container) ? Math.min(1, wanted.readiness.grace.restarts) : wanted.readiness.grace.restarts;

const hasCrashed = ({ state, waiting, ended }: ContainerView): boolean =>
  waiting?.reason === 'CrashLoopBackOff' ||
  (state === 'terminated' && ended !== null && (ended.exitCode !== 0 || ended.reason === 'OOMKilled'));

const imagePull = (pod: PodView, container: ContainerView): Failure => ({
  cause: 'imagePull',
  reason: `${pod.name} cannot pull the image ${container.image ?? `of ${container.name}`}${said(container.waiting?.message)}`,
  fix: 'correct the image, or give the service account a secret for its registry',
});

const containerConfig = (pod: PodView, container: ContainerView): Failure => ({
  cause: 'containerConfig',
  reason: `${pod.name} cannot start ${container.name}${said(container.waiting?.message ?? container.waiting?.reason)}`,
  fix: 'create what is missing, or correct the container in the policy or the runtime',
});

const outOfMemory = (pod: PodView, container: ContainerView): Failure => ({
  cause: 'outOfMemory',
  reason: `${container.name} of ${pod.name} ran out of memory${limit(container)}, restarted ${times(container.restarts)}`,
  fix: isDownload(container)
    ? 'raise the memory limit of storageInitializer in the ConfigMap inferenceservice-config of KServe'
    : 'raise resources.limits.memory in the policy',
});

const limit = ({ memoryLimit }: ContainerView): string =>
  memoryLimit === null ? ' of its node' : ` at its limit of ${memoryLimit}`;

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);

const download = (container: ContainerView): Failure => ({
  cause: 'download',
  reason: `the model cannot be downloaded: ${container.name} ${exit(container)}${said(container.ended?.message)}`,
  fix: 'correct the storage URI, or the credentials of the service account',
});

const crashLoop = ({ target }: Wanted, pod: PodView, container: ContainerView): Failure => ({
  cause: 'crashLoop',
  reason: `${container.name} of ${pod.name} ${exit(container)}, restarted ${times(container.restarts)}${said(container.ended?.message)}`,
  fix: `read its log: kubectl logs -n ${target.namespace} ${pod.name} -c ${container.name} --previous`,
});

const exit = ({ ended }: ContainerView): string =>
  ended?.exitCode === null || ended === null ? 'crashed' : `exited with code ${ended.exitCode}`;

/** @returns what the cluster said about it, after a colon; nothing where it said nothing */
export const said = (message: string | null | undefined): string => (message ? `: ${message}` : '');

/** The ReplicaSet replaces pods that were evicted or refused by their node, one after the other. */
function failedPods(wanted: Wanted, pods: PodView[]): Failure[] {
  const failed = pods.filter((pod) => pod.phase === 'Failed');
  const last = failed.at(-1);
  if (last === undefined || failed.length < Math.max(1, wanted.readiness.grace.restarts)) return [];
  return [
    {
      cause: 'podFailed',
      reason: `${failed.length} pods failed one after the other, at last with ${last.reason ?? 'no reason given'}${said(last.message)}`,
      fix: 'ask for what the pods really use in resources, or look at the nodes',
    },
  ];
}

/** A pod that the cluster adds a node for is given as long as there is. */
function schedulingFailures(wanted: Wanted, seen: Seen, pod: PodView, patience: Patience): Failure[] {
  if (pod.unschedulable === null) return [];
  const grace = isScalingUp(pod, seen) ? null : wanted.readiness.grace.unschedulable;
  if (!patience.exceeded(`unschedulable/${pod.name}`, grace)) return [];
  return [
    {
      cause: 'unschedulable',
      reason: `no node takes ${pod.name}${said(pod.unschedulable)}`,
      fix: 'add nodes that fit, or ask for less in resources and gpu',
    },
  ];
}

/** The last word of who adds nodes to the cluster counts. */
export function isScalingUp(pod: PodView, seen: Seen): boolean {
  const lastOf = (says: (event: EventView) => boolean): number =>
    Math.max(
      ...eventsAbout(pod, seen)
        .filter(says)
        .map(({ lastAt }) => lastAt ?? 0),
    );
  const promised = lastOf(promisesNode);
  return promised > Number.NEGATIVE_INFINITY && promised >= lastOf(refusesNode);
}

/**
 * The cluster autoscaler (cluster-autoscaler/processors/status/eventing_scale_up_processor.go), and Karpenter
 * (kubernetes-sigs/karpenter pkg/controllers/provisioning/scheduling/events.go). Who reports is not asked: Karpenter does
 * it under other names where it is part of a product.
 */
const promisesNode = ({ reason }: EventView): boolean =>
  reason === 'TriggeredScaleUp' || reason === 'Nominated';

/** Karpenter gives the reason that the scheduler gives, which says each time that there is no node yet. */
const refusesNode = ({ reason, message }: EventView): boolean =>
  reason === 'NotTriggerScaleUp' ||
  (reason === 'FailedScheduling' && message.startsWith('Failed to schedule pod'));

const eventsAbout = (pod: PodView, seen: Seen): EventView[] =>
  seen.events.filter((event) => event.regarding.uid === pod.uid);

const eventsOf = (pod: PodView, seen: Seen, reason: string): EventView[] =>
  eventsAbout(pod, seen).filter((event) => event.reason === reason);

/** @returns what a pod that is not ready is at, such as `downloading the model` */
export function stepOf(pod: PodView, seen: Seen): string {
  if (pod.phase === 'Failed') return `failed with ${pod.reason ?? 'no reason given'}${said(pod.message)}`;
  if (pod.unschedulable !== null)
    return isScalingUp(pod, seen)
      ? 'waiting for the node that is being added for it'
      : `no node takes it${said(pod.unschedulable)}`;
  if (!pod.scheduled) return 'waiting for a node';
  const current = pod.containers.find((container) => !isDone(container));
  return current === undefined ? startOf(pod, seen) : containerStep(current, pod, seen);
}

/** Init containers end, the others become ready. */
const isDone = ({ init, state, ended, ready }: ContainerView): boolean =>
  init ? ready || (state === 'terminated' && ended?.exitCode === 0) : ready;

function containerStep(container: ContainerView, pod: PodView, seen: Seen): string {
  const reason = container.waiting?.reason ?? null;
  if (CANNOT_PULL.includes(reason))
    return `cannot pull the image ${container.image ?? `of ${container.name}`}${said(container.waiting?.message)}`;
  if (CANNOT_CREATE.includes(reason))
    return `cannot start ${container.name}${said(container.waiting?.message ?? reason)}`;
  if (hasCrashed(container)) return crashStep(container);
  if (container.state !== 'running') return startOf(pod, seen);
  if (isDownload(container)) return 'downloading the model';
  return container.init ? `running ${container.name}` : 'loading the model';
}

function crashStep(container: ContainerView): string {
  if (container.ended?.reason === 'OOMKilled')
    return `${container.name} ran out of memory${limit(container)} and is started again`;
  return `${container.name} ${exit(container)} and is started again${said(container.ended?.message)}`;
}

/** Before its containers run the kubelet says in events what it does. */
function startOf(pod: PodView, seen: Seen): string {
  const unmounted =
    eventsOf(pod, seen, 'FailedMount').at(-1) ?? eventsOf(pod, seen, 'FailedAttachVolume').at(-1);
  if (unmounted !== undefined) return `cannot mount a volume${said(unmounted.message)}`;
  return isPulling(pod, seen) ? 'pulling image' : 'starting';
}

/** `Pulling image "x"`, and no word yet that this one is there. */
function isPulling(pod: PodView, seen: Seen): boolean {
  const there = eventsOf(pod, seen, 'Pulled');
  return eventsOf(pod, seen, 'Pulling').some(({ message }) => {
    const image = /"[^"]+"/.exec(message)?.[0] ?? '';
    return !there.some((event) => event.message.includes(image));
  });
}
