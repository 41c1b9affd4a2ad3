/** What readiness needs to know of a pod. */
import { conditionIn, countIn, itemsIn, lastLines, numberIn, shorten, textIn } from './cluster-fields.ts';
import type { Child, ContainerView, PodView } from './cluster-views.ts';
import { type Json, valueAt } from './json.ts';

/** @param object a pod, of any shape */
export function projectPod(object: Json, child: Child): PodView {
  const scheduled = conditionIn(object, 'PodScheduled');
  return {
    kind: 'Pod',
    ...child,
    phase: textIn(object, 'status', 'phase'),
    reason: textIn(object, 'status', 'reason'),
    message: shorten(textIn(object, 'status', 'message')),
    deleting: textIn(object, 'metadata', 'deletionTimestamp') !== null,
    ready: conditionIn(object, 'Ready')?.status === 'True',
    unschedulable:
      scheduled?.status === 'False' && scheduled.reason === 'Unschedulable'
        ? (scheduled.message ?? '')
        : null,
    scheduled: scheduled?.status === 'True',
    containers: [
      ...containersIn(object, 'initContainers', 'initContainerStatuses', true),
      ...containersIn(object, 'containers', 'containerStatuses', false),
    ],
  };
}

function containersIn(object: Json, list: string, statuses: string, init: boolean): ContainerView[] {
  const specs = itemsIn(object, 'spec', list);
  return itemsIn(object, 'status', statuses).flatMap((status) => {
    const name = textIn(status, 'name');
    if (name === null) return [];
    return [
      projectContainer(
        name,
        init,
        status,
        specs.find((spec) => textIn(spec, 'name') === name),
      ),
    ];
  });
}

function projectContainer(name: string, init: boolean, status: Json, spec: Json | undefined): ContainerView {
  const waiting = valueAt(status, ['state', 'waiting']);
  const terminated = valueAt(status, ['state', 'terminated']);
  const running = valueAt(status, ['state', 'running']);
  const ended = terminated ?? valueAt(status, ['lastState', 'terminated']);
  return {
    name,
    init,
    image: textIn(spec, 'image') ?? textIn(status, 'image'),
    memoryLimit: textIn(spec, 'resources', 'limits', 'memory'),
    state: stateOf(terminated, running),
    waiting: waiting
      ? { reason: textIn(waiting, 'reason'), message: shorten(textIn(waiting, 'message')) }
      : null,
    ended: ended
      ? {
          reason: textIn(ended, 'reason'),
          exitCode: numberIn(ended, 'exitCode'),
          message: lastLines(textIn(ended, 'message')),
        }
      : null,
    restarts: countIn(status, 'restartCount'),
    ready: valueAt(status, ['ready']) === true,
  };
}

/** An empty `{}` is a state too. */
function stateOf(terminated: Json | undefined, running: Json | undefined): ContainerView['state'] {
  if (terminated !== undefined && terminated !== null) return 'terminated';
  return running === undefined || running === null ? 'waiting' : 'running';
}
