/** What `modelhook doctor` says of what policies need of a cluster: a mode, runtimes and namespaces. */
import type { Cluster, ClusterKnowledge } from '../cluster/cluster.ts';
import { StalledError } from '../core/errors.ts';
import { modeOf, type Policy } from '../core/policy.ts';
import { chooseRuntime } from '../core/runtime.ts';
import { variablesOf } from '../core/template.ts';
import type { Finding } from '../forge/forge.ts';
import { count, fault, good, warning } from './doctor-findings.ts';
import { type KServeSight, noRuntime } from './doctor-kserve.ts';
import { rbacCommand } from './doctor-rights.ts';

/** @returns whether a template is a name as it is written */
export const isLiteral = (template: string): boolean => variablesOf(template).size === 0;

export function modeFindings({ knative }: ClusterKnowledge, policies: readonly Policy[]): Finding[] {
  const about = 'Knative';
  if (knative === null)
    return [
      warning(about, 'whether it is installed is not known', 'kubectl get crd services.serving.knative.dev'),
    ];
  if (knative) return [good(about, 'is installed')];
  const asking = policies.filter(({ deploymentMode }) => deploymentMode === 'Knative');
  const scaling = policies.filter(
    (policy) => policy.deploymentMode === 'auto' && modeOf(policy) === 'Knative' && policy.replicas.min === 0,
  );
  return [
    good(about, 'is not installed: services run in Standard mode'),
    ...asking.map(({ name }) =>
      fault(
        about,
        `is not installed, and policy "${name}" asks for deploymentMode Knative`,
        'set deploymentMode: Standard in the policy, or install Knative Serving',
      ),
    ),
    ...scaling.map(({ name }) =>
      fault(
        about,
        `is not installed, and policy "${name}" scales to 0, which Standard mode cannot`,
        'set replicas.min: 1 in the policy, or install Knative Serving',
      ),
    ),
  ];
}

/** @param known what is known of a namespace, of which {@link places} are worth a look */
export function runtimeFindings(
  sight: KServeSight,
  known: (namespace: string) => ClusterKnowledge,
  places: readonly string[],
  policies: readonly Policy[],
): Finding[] {
  const about = 'runtimes';
  const catalogues = places.flatMap((place) => known(place).runtimes ?? []);
  if (catalogues.length === 0)
    return [warning(about, 'cannot be read', rbacCommand(sight.namespaces, places[0]))];
  const names = [...new Set(catalogues.flatMap(({ runtimes }) => runtimes.map(({ name }) => name)))];
  const sum =
    names.length === 0
      ? noRuntime(sight)
      : good(about, `${count(names.length, 'runtime')}: ${names.join(', ')}`);
  return [sum, ...policies.flatMap((policy) => unfitRuntime(known, policy))];
}

/** Where the format is the model card's, only what holds for any of the runtime's formats is looked at. */
function unfitRuntime(known: (namespace: string) => ClusterKnowledge, policy: Policy): Finding[] {
  const { runtime, target, protocolVersion, modelFormat, pod, name } = policy;
  const { namespace } = target;
  if (!isLiteral(namespace)) return [];
  const { runtimes: catalogue } = known(namespace);
  if (catalogue === null || (runtime.name === null && runtime.class === null)) return [];
  const named = catalogue.runtimes.find((one) =>
    runtime.name === null ? one.class === runtime.class : one.name === runtime.name,
  );
  try {
    const multiNode = 'workerSpec' in pod;
    const library = (): string => named?.formats[0]?.name ?? '';
    chooseRuntime({ ...runtime, namespace, protocolVersion, modelFormat, library, multiNode }, catalogue);
    return [];
  } catch (error) {
    if (!(error instanceof StalledError)) throw error;
    return [fault('runtimes', `policy "${name}": ${error.reason}`, error.fix)];
  }
}

export function namespaceFindings({ watch }: Cluster, policies: readonly Policy[]): Finding[] {
  const wanted = Map.groupBy(
    policies.filter(({ target }) => isLiteral(target.namespace)),
    ({ target }) => target.namespace,
  );
  return [...wanted].map(([namespace, users]): Finding => {
    const about = `namespace ${namespace}`;
    const state = watch.seen(namespace, '').namespace;
    const who = users.map(({ name }) => `"${name}"`).join(', ');
    if (state === 'present') return good(about, 'exists');
    const make = `kubectl create namespace ${namespace}`;
    // Rights for single namespaces do not tell which there are.
    if (state === null)
      return warning(
        about,
        'whether it exists is not known',
        `kubectl get namespace ${namespace} || ${make}`,
      );
    const deploys = `and ${users.length === 1 ? `policy ${who} deploys` : `policies ${who} deploy`} there`;
    if (state === 'absent') return fault(about, `does not exist, ${deploys}`, make);
    const wait = `kubectl wait --for=delete namespace/${namespace} --timeout=10m`;
    return fault(about, `is being deleted, ${deploys}`, `${wait} && ${make}`);
  });
}
