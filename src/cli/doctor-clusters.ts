/** What `modelhook doctor` looks at in a cluster. Nothing is changed there. */
import {
  type Cluster,
  type ClusterKnowledge,
  type ClusterRight,
  ClusterUnavailableError,
} from '../cluster/cluster.ts';
import { messageOf, StalledError } from '../core/errors.ts';
import { modeOf, type Policy } from '../core/policy.ts';
import { chooseRuntime } from '../core/runtime.ts';
import { variablesOf } from '../core/template.ts';
import type { Finding } from '../forge/forge.ts';
import { count, failure, good, LIMIT, type Section, within } from './doctor-checks.ts';

/** A cluster of modelhook.yaml. */
export interface ExaminedCluster {
  name: string;
  /** What it is reached by, for the title. */
  access: string;
  /** Those it is limited to; empty: none are left out */
  namespaces: readonly string[];
  /** Constructs it. */
  open: () => Promise<Cluster>;
}

/**
 * Looks at one cluster. One that is not reached, or not in time, is a finding itself.
 * @param policies of all clusters; null: they could not be read
 * @param limit in milliseconds
 */
export async function checkCluster(
  examined: ExaminedCluster,
  policies: readonly Policy[] | null,
  limit = LIMIT,
): Promise<Section> {
  const { name, access } = examined;
  const own = policies?.filter(({ target }) => target.cluster === name) ?? null;
  const findings: Finding[] = [];
  let cluster: Cluster | undefined;
  try {
    cluster = await examined.open();
    await within(limit, examine(cluster, examined, own, findings));
  } catch (error) {
    const fix = `check what it is reached by (${access}), and that it is up: kubectl version`;
    findings.push(
      error instanceof StalledError
        ? { about: 'access', state: 'fault', message: error.reason, fix: error.fix }
        : failure('access', 'cannot be asked', error, fix),
    );
  } finally {
    await cluster?.watch.stop();
  }
  return { title: `Cluster ${name}: ${access}`, forge: null, cluster: name, findings };
}

/** Adds what it finds as it goes, for what comes later may take too long. */
async function examine(
  cluster: Cluster,
  { name, namespaces }: ExaminedCluster,
  policies: readonly Policy[] | null,
  findings: Finding[],
): Promise<void> {
  const missing = await missingRights(cluster);
  findings.push(good('access', 'is reached, and takes the credentials'));
  const places = placesOf(namespaces, policies ?? []);
  const known = await learn(cluster, places);
  const { knative } = known(places[0]);
  const lacks = missing.filter(({ group }) => group !== 'serving.knative.dev' || knative === true);
  findings.push(
    ...rightsFindings(lacks, namespaces, policies),
    ...kserveFindings(name, known(places[0]), missing),
    ...(await webhookFindings(cluster)),
    ...modeFindings(known(places[0]), policies ?? []),
    ...runtimeFindings(known, places, policies ?? []),
    ...namespaceFindings(cluster, policies ?? []),
  );
}

/** @throws what a person can read where the cluster cannot be asked */
async function missingRights({ reviewer }: Cluster): Promise<ClusterRight[]> {
  try {
    return await reviewer.missingRights();
  } catch (error) {
    throw error instanceof ClusterUnavailableError ? asStalled(error) : error;
  }
}

function asStalled({ cluster, problem }: ClusterUnavailableError): StalledError {
  const { what, detail, fix } = problem;
  return new StalledError(`${cluster} ${what}${detail === null ? '' : `: ${detail}`}`, fix);
}

const isLiteral = (template: string): boolean => variablesOf(template).size === 0;

/** The namespaces worth a look. Any other name shows what the whole cluster has. */
function placesOf(namespaces: readonly string[], policies: readonly Policy[]): [string, ...string[]] {
  const named = policies.map(({ target }) => target.namespace).filter(isLiteral);
  const [first, ...others] = new Set([...namespaces, ...named]);
  return [first ?? 'default', ...others];
}

/** @returns what is known of each namespace once every watch has had its first answer */
async function learn(
  { watch, catalogue }: Cluster,
  places: readonly string[],
): Promise<(namespace: string) => ClusterKnowledge> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const isComplete = (place: string): boolean => {
    const { listed, trouble } = watch.state(place);
    return catalogue.knowledge(place).complete && (listed || trouble !== null);
  };
  const look = (): void => {
    if (places.every(isComplete)) resolve();
  };
  const end = watch.onChange(look);
  watch.start();
  look();
  await promise.finally(end);
  return (namespace) => catalogue.knowledge(namespace);
}

/** What only `delivery.apply` needs. */
const WRITES: readonly string[] = ['get', 'create', 'patch', 'delete'];

function rightsFindings(
  missing: readonly ClusterRight[],
  namespaces: readonly string[],
  policies: readonly Policy[] | null,
): Finding[] {
  if (missing.length === 0) return [good('rights', 'RBAC allows all that modelhook does')];
  const file = namespaces.length === 0 ? 'deploy/rbac.yaml' : 'deploy/rbac-namespaced.yaml';
  const isApplied = policies?.some(({ delivery }) => delivery.gitops === null) ?? true;
  const grouped = Map.groupBy(missing, ({ group, resource, namespace, name, verb }) =>
    JSON.stringify([group, resource, namespace, name, WRITES.includes(verb)]),
  );
  return [...grouped.values()].map((rights): Finding => {
    const { group = '', resource = '', namespace = null, name = null } = rights[0] ?? {};
    const verbs = rights.map(({ verb }) => verb);
    const isWrite = verbs.some((verb) => WRITES.includes(verb));
    const what = `${resource}${group === '' ? '' : `.${group}`}${name === null ? '' : ` ${name}`}`;
    const names = name === null ? '' : `, resourceNames: [${name}]`;
    const rule = `{ apiGroups: [${group === '' ? '""' : group}], resources: [${resource}]${names}, verbs: [${verbs.join(', ')}] }`;
    return {
      about: 'rights',
      state: isWrite && !isApplied ? 'warning' : 'fault',
      message: `may not ${verbs.join(', ')} ${what}${namespace === null ? '' : ` in namespace ${namespace}`}${isWrite ? ', which delivery.apply needs' : ''}`,
      fix: `kubectl apply -f ${file}, which has the rule ${rule}`,
    };
  });
}

const INSTALL =
  'install KServe, or name the context of a cluster that has it: kubectl get crd inferenceservices.serving.kserve.io';

function kserveFindings(
  name: string,
  { structure, kserveVersion, settings, warnings }: ClusterKnowledge,
  missing: readonly ClusterRight[],
): Finding[] {
  const lacks = (resource: string): boolean => missing.some((right) => right.resource === resource);
  const told = warnings.map(
    (message): Finding => ({
      about: 'KServe',
      state: 'warning',
      message,
      fix: 'correct what it names, or apply deploy/rbac.yaml where a right is missing',
    }),
  );
  if (structure === null)
    return lacks('customresourcedefinitions')
      ? [unknown('KServe', 'its CRD cannot be read, so whether it is there is not known', RBAC)]
      : [{ about: 'KServe', state: 'fault', message: 'is not installed', fix: INSTALL }, ...told];
  const version =
    kserveVersion === null
      ? unknown(
          'KServe',
          'is there, in a version that is not known: manifests are made for 0.20',
          `set clusters.${name}.kserve in modelhook.yaml: kubectl get deployment -n kserve kserve-controller-manager -o wide`,
        )
      : good('KServe', `version ${kserveVersion.replace(/^v/, '')}`);
  const mode = settings?.defaultDeploymentMode;
  const settled = settings
    ? good('KServe', `runs a service that does not say how in mode ${mode ?? 'Knative'}`)
    : unknown(
        'KServe',
        'its settings are not known: the ConfigMap kserve/inferenceservice-config is not there, or cannot be read',
        'kubectl get configmap -n kserve inferenceservice-config',
      );
  return [version, settled, ...told];
}

const RBAC = 'kubectl apply -f deploy/rbac.yaml';
const unknown = (about: string, message: string, fix: string): Finding => ({
  about,
  state: 'warning',
  message,
  fix,
});

async function webhookFindings({ reviewer }: Cluster): Promise<Finding[]> {
  const about = "KServe's webhooks";
  const list = 'kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations';
  try {
    const state = await reviewer.kserveWebhooks();
    if (state === 'configured') return [good(about, 'are configured')];
    if (state === 'unreadable')
      return [
        unknown(
          about,
          'whether they are configured cannot be read, which modelhook needs no right for',
          list,
        ),
      ];
    const message = 'are not all configured, so mistakes in manifests are found late';
    return [{ about, state: 'fault', message, fix: `install KServe's controller whole; ${list}` }];
  } catch (error) {
    return [unknown(about, `cannot be asked for: ${messageOf(error)}`, list)];
  }
}

function modeFindings({ knative }: ClusterKnowledge, policies: readonly Policy[]): Finding[] {
  const asking = policies.filter(({ deploymentMode }) => deploymentMode === 'Knative');
  const scaling = policies.filter(
    (policy) => policy.deploymentMode === 'auto' && modeOf(policy) === 'Knative',
  );
  if (knative === null)
    return [
      unknown(
        'Knative',
        'whether it is installed is not known',
        'kubectl get crd services.serving.knative.dev',
      ),
    ];
  if (knative) return [good('Knative', 'is installed')];
  return [
    good('Knative', 'is not installed: services run in Standard mode'),
    ...asking.map(
      ({ name }): Finding => ({
        about: 'Knative',
        state: 'fault',
        message: `is not installed, and policy "${name}" asks for deploymentMode Knative`,
        fix: 'set deploymentMode: Standard in the policy, or install Knative Serving',
      }),
    ),
    ...scaling
      .filter(({ replicas }) => replicas.min === 0)
      .map(
        ({ name }): Finding => ({
          about: 'Knative',
          state: 'fault',
          message: `is not installed, and policy "${name}" scales to 0, which Standard mode cannot`,
          fix: 'set replicas.min: 1 in the policy, or install Knative Serving',
        }),
      ),
  ];
}

function runtimeFindings(
  known: (namespace: string) => ClusterKnowledge,
  places: readonly string[],
  policies: readonly Policy[],
): Finding[] {
  const about = 'runtimes';
  const catalogues = places.flatMap((place) => known(place).runtimes ?? []);
  if (catalogues.length === 0) return [unknown(about, 'cannot be read', RBAC)];
  const names = [...new Set(catalogues.flatMap(({ runtimes }) => runtimes.map(({ name }) => name)))];
  const sum =
    names.length === 0
      ? unknown(about, 'there is none', 'kubectl get clusterservingruntimes; install those of KServe')
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
    const message = `policy "${name}": ${error.reason}`;
    return [{ about: 'runtimes', state: 'fault', message, fix: error.fix }];
  }
}

function namespaceFindings({ watch }: Cluster, policies: readonly Policy[]): Finding[] {
  const wanted = Map.groupBy(
    policies.filter(({ target }) => isLiteral(target.namespace)),
    ({ target }) => target.namespace,
  );
  return [...wanted].map(([namespace, users]): Finding => {
    const about = `namespace ${namespace}`;
    const state = watch.seen(namespace, '').namespace;
    const who = users.map(({ name }) => `"${name}"`).join(', ');
    if (state === 'present') return good(about, 'exists');
    if (state === null)
      return unknown(about, 'whether it exists is not known', `kubectl get namespace ${namespace}`);
    const message = `${state === 'absent' ? 'does not exist' : 'is being deleted'}, and ${users.length === 1 ? `policy ${who} deploys` : `policies ${who} deploy`} there`;
    return { about, state: 'fault', message, fix: `kubectl create namespace ${namespace}` };
  });
}
