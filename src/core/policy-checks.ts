/** Rules for one policy that its schema cannot say: what hangs together, and what Kubernetes and KServe refuse. */
import { ALAUDA_KEYS } from './alauda.ts';
import { checkGpuResources, cpuImageDoubt, isExtended } from './gpu-profile.ts';
import { type Json, valueAt } from './json.ts';
import {
  DNS_LABEL,
  isQualifiedKey,
  KSERVE_NAME,
  MAX_NAME,
  MAX_NAME_AND_NAMESPACE,
  unsafePath,
} from './names.ts';
import { suggestion } from './nearest.ts';
import { modeOf, type Policy } from './policy.ts';
import { checkContainer, checkKey, checkPod, isDnsName } from './policy-overrides.ts';
import { checkMatch, checkReserved, checkTemplates, warnOfVariables } from './policy-text-checks.ts';
import { parseQuantity } from './quantity.ts';
import type { Report } from './schema-faults.ts';
import { storageUriFault, storageUriWarning } from './storage-uri.ts';
import { fillTemplate, TEMPLATE_VARIABLES } from './template.ts';
import type { Path } from './yaml-source.ts';

/** Where faults and warnings of one policy go. */
export interface Sink {
  fault: Report;
  warn: Report;
}

/**
 * Checks a policy whose fields have the right shape.
 * @param spec the policy's `spec` as it was written
 */
export function checkPolicy(policy: Policy, spec: Json, sink: Sink): void {
  checkMatch(policy, sink.fault);
  const filled = checkTemplates(policy, sink.fault);
  if (filled) {
    checkTarget(policy, sink.fault);
    checkAddresses(policy, sink);
  }
  checkResources(policy, spec, sink.fault);
  checkScaling(policy, sink);
  if (policy.delivery.selfHeal && !policy.updateExisting)
    sink.fault(
      ['spec', 'updateExisting'],
      'contradicts delivery.selfHeal: true, which puts back what was deployed whenever it is changed or deleted, so that no newer version could ever take its place; keep one of the two',
    );
  checkMetadata(policy, sink.fault);
  checkPod(policy.pod, ['spec', 'pod'], sink.fault);
  checkContainer(policy.container, ['spec', 'container'], sink.fault);
  warnOfVariables(policy.pod, ['spec', 'pod'], sink.warn);
  warnOfVariables(policy.container, ['spec', 'container'], sink.warn);
  if (policy.conventions === 'alauda') checkAlauda(policy, sink);
  warnOfImage(policy, sink.warn);
  warnOfMode(policy, sink.warn);
  checkReserved(spec, ['spec'], sink.fault);
}

/** Unknown variables have had their fault. */
const isLiteral = (template: string): boolean => !template.includes('${');

function checkTarget(policy: Policy, report: Report): void {
  const { namespace, name } = policy.target;
  if (isLiteral(namespace) && !DNS_LABEL.test(namespace))
    report(
      ['spec', 'target', 'namespace'],
      `"${namespace}" is no namespace: lower-case letters, digits and "-"`,
    );
  if (!isLiteral(name)) return;
  const path = ['spec', 'target', 'name'];
  if (!KSERVE_NAME.test(name))
    report(path, `"${name}" is no name KServe takes: lower-case letters, digits and "-", a letter first`);
  else if (name.length > MAX_NAME)
    report(path, `"${name}" has ${name.length} characters; at most ${MAX_NAME} fit`);
  else if (
    isLiteral(namespace) &&
    modeOf(policy) === 'Standard' &&
    name.length + namespace.length > MAX_NAME_AND_NAMESPACE
  )
    report(
      path,
      `"${name}" and its namespace "${namespace}" have ${name.length + namespace.length} characters together; ` +
        `KServe makes one host label of them, and ${MAX_NAME_AND_NAMESPACE} fit in Standard mode`,
    );
}

/** What events may bring: paths and refs of one segment, which go first, or of several. */
const STAND_INS = [[], ['repository.path', 'repository.subgroup'], ['tag', 'branch', 'revision']].map(
  (several) =>
    Object.fromEntries(TEMPLATE_VARIABLES.map((name) => [name, several.includes(name) ? 'x/x' : 'x'])),
);

/** The storage URI and the delivery path. What some event could make right is left to that event. */
function checkAddresses(policy: Policy, { fault, warn }: Sink): void {
  const uris = STAND_INS.map((values) => fillTemplate(policy.storage.uri, 'spec.storage.uri', values));
  const wrong = uris.map((uri) => (uri === '' ? 'this field is required' : storageUriFault(uri)));
  if (wrong[0] && wrong.every((each) => each !== null)) fault(['spec', 'storage', 'uri'], wrong[0]);
  const doubtful = storageUriWarning(uris[0] ?? '');
  if (doubtful !== null) warn(['spec', 'storage', 'uri'], doubtful);
  checkPath(policy, { fault, warn });
  const { pvc } = policy.storage;
  if (pvc !== null && !isDnsName(pvc))
    fault(
      ['spec', 'storage', 'pvc'],
      `"${pvc}" is no name of a claim: lower-case letters, digits, "-" and "."`,
    );
  if (pvc === null || policy.conventions === 'alauda') return;
  warn(
    ['spec', 'storage', 'pvc'],
    'it becomes the annotation storage-initializer-pvc-name, which upstream KServe ignores; there write storage.uri: pvc://claim/path',
  );
}

/** Whether a policy is for more than one repository by name. */
const matchesSeveral = ({ match: { repositories } }: Policy): boolean =>
  repositories.include.length > 1 || repositories.include.some(({ pattern }) => pattern.includes('*'));

function checkPath(policy: Policy, { fault, warn }: Sink): void {
  const at = ['spec', 'delivery', 'path'];
  const { path } = policy.delivery;
  const unsafe = unsafePath(fillTemplate(path, 'spec.delivery.path', STAND_INS[0] ?? {}));
  if (unsafe !== null) fault(at, `"${path}" ${unsafe}`);
  else if (!/\.(?:ya?ml|json)$/.test(path))
    warn(at, `"${path}" does not end in .yaml, so agents may pass it over`);
  else if (isLiteral(path) && !isLiteral(policy.target.name) && matchesSeveral(policy))
    warn(at, 'is one file for every target of this policy, and the first to be deployed keeps it');
}

function checkResources({ resources, storage }: Policy, spec: Json, report: Report): void {
  for (const [kind, quantities] of Object.entries(resources)) {
    const own = keysAt(spec, ['resources', kind]);
    // What a GPU profile brings was checked where it stands.
    for (const [name, value] of Object.entries(quantities))
      if (own.has(name)) checkQuantity(name, value, ['spec', 'resources', kind, name], report);
  }
  if (storage.ephemeralStorage !== null)
    checkQuantity(
      'ephemeral-storage',
      storage.ephemeralStorage,
      ['spec', 'storage', 'ephemeralStorage'],
      report,
    );
  checkRequests(resources, keysAt(spec, ['resources', 'requests']), report);
  const own = [...keysAt(spec, ['resources', 'limits'])];
  if (!own.some((name) => name.startsWith('nvidia.com/'))) return;
  // Together with what a GPU profile brings, and without what the policy leaves out of it.
  const cards = Object.entries(resources.limits).filter(([name]) => name.startsWith('nvidia.com/'));
  checkGpuResources(Object.fromEntries(cards), ['spec', 'resources', 'limits'], report);
}

const keysAt = (value: Json, path: readonly string[]): Set<string> =>
  new Set(Object.keys(valueAt(value, path) ?? {}));

/** The names without a domain that Kubernetes knows. */
const NATIVE = ['cpu', 'memory', 'ephemeral-storage'];

function checkQuantity(name: string, value: string, path: Path, report: Report): void {
  const amount = parseQuantity(value);
  if (!isQualifiedKey(name)) report(path, 'is no name of a resource, such as cpu or nvidia.com/gpu');
  else if (!name.includes('/') && !NATIVE.includes(name) && !name.startsWith('hugepages-'))
    report(
      path,
      `Kubernetes has no resource "${name}"${suggestion(name, NATIVE) || '; devices have a domain, such as nvidia.com/gpu'}`,
    );
  else if (amount === null || amount < 0) report(path, `"${value}" is no quantity, such as 500m, 2 or 4Gi`);
  else if (isExtended(name) && !Number.isInteger(amount))
    report(path, `"${value}" is no whole number, and Kubernetes divides no ${name}`);
}

function checkRequests(
  { requests, limits }: Policy['resources'],
  stated: ReadonlySet<string>,
  report: Report,
): void {
  for (const [name, request] of Object.entries(requests)) {
    const isStated = stated.has(name);
    const path = ['spec', 'resources', isStated ? 'requests' : 'limits', name];
    const limit = limits[name];
    const [wanted, allowed] = [parseQuantity(request) ?? 0, parseQuantity(limit ?? '') ?? 0];
    if (isExtended(name) && wanted !== allowed)
      report(
        path,
        `requests ${request} and the limit is ${limit ?? 'not set'}; for a device both are equal, so leave the request out`,
      );
    else if (limit !== undefined && wanted > allowed)
      report(
        path,
        isStated
          ? `requests ${request} and the limit is ${limit}; a request is at most its limit, so set resources.limits.${name} too`
          : `is less than the request, ${request} by default; set resources.requests.${name} too`,
      );
  }
}

function checkScaling(policy: Policy, { fault, warn }: Sink): void {
  const { min, max } = policy.replicas;
  const mode = modeOf(policy);
  if (min > max) fault(['spec', 'replicas'], `min ${min} is more than max ${max}`);
  else if (mode === 'Standard' && min === 0)
    fault(
      ['spec', 'replicas'],
      'min 0 needs deploymentMode: Knative; in Standard mode the HorizontalPodAutoscaler raises it to 1',
    );
  else if (max === 0) warn(['spec', 'replicas'], 'max 0 lets Knative scale without a limit');
  const { rollout } = policy;
  if (rollout === null) return;
  if (mode === 'Knative')
    fault(
      ['spec', 'rollout'],
      'KServe takes a deployment strategy in Standard mode only; remove it, or set the mode',
    );
  if (rollout.strategy === 'Recreate' && (rollout.maxSurge ?? rollout.maxUnavailable) !== null)
    fault(['spec', 'rollout'], 'maxSurge and maxUnavailable belong to RollingUpdate; remove them');
  const { maxUnavailable } = rollout;
  if (typeof maxUnavailable === 'string' && Number.parseInt(maxUnavailable, 10) > 100)
    fault(['spec', 'rollout', 'maxUnavailable'], 'is at most 100%');
  if (isZero(rollout.maxSurge) && isZero(rollout.maxUnavailable))
    fault(['spec', 'rollout'], 'maxSurge and maxUnavailable are both 0, so no pod could ever be replaced');
}

const isZero = (value: number | string | null): boolean =>
  value === 0 || (typeof value === 'string' && /^0+%$/.test(value));

/** What KServe takes for the annotation serving.kserve.io/autoscalerClass. */
const AUTOSCALERS = ['hpa', 'keda', 'external', 'none'];

/** Set by modelhook itself on the object. */
const OWN_KEYS = [
  'app.kubernetes.io/managed-by',
  'serving.kserve.io/deploymentMode',
  'storage-initializer-pvc-name',
];

function checkMetadata(policy: Policy, report: Report): void {
  for (const [field, entries] of [
    ['labels', policy.labels],
    ['annotations', policy.annotations],
  ] as const) {
    for (const [key, text] of Object.entries(entries)) {
      const path = ['spec', field, key];
      checkKey(path, key, field === 'labels' && isLiteral(text) ? text : null, report);
      if (OWN_KEYS.includes(key)) report(path, 'modelhook sets this key itself; remove it');
      if (key === 'serving.kserve.io/autoscalerClass' && isLiteral(text) && !AUTOSCALERS.includes(text))
        report(path, `KServe refuses "${text}"; expected ${AUTOSCALERS.join(' or ')}`);
      if (policy.conventions === 'alauda' && ALAUDA_KEYS[field].includes(key))
        report(path, 'conventions: alauda sets this key; remove it');
    }
  }
}

function checkAlauda({ pod }: Policy, { fault, warn }: Sink): void {
  if ('hostIPC' in pod) fault(['spec', 'pod', 'hostIPC'], 'conventions: alauda sets this field; remove it');
  warn(
    ['spec', 'conventions'],
    "alauda is for the KServe of Alauda AI: upstream KServe refuses model.name and appends the copied arguments to the runtime's own",
  );
}

/** Which label keeps a service inside the cluster, in each mode. The other one does nothing. */
const VISIBILITY = {
  Standard: 'networking.kserve.io/visibility',
  Knative: 'networking.knative.dev/visibility',
} as const;
/** What KServe's webhook takes for `scaleMetric`, with the autoscaler of each mode. */
const SCALE_METRICS = { Standard: ['cpu', 'memory'], Knative: ['concurrency', 'rps'] } as const;
const OTHER_AUTOSCALERS = ['serving.kserve.io/autoscalerClass', 'autoscaling.knative.dev/class'];

function warnOfImage(policy: Policy, warn: Report): void {
  const doubt = policy.modelFormat === null ? null : cpuImageDoubt(policy, policy.modelFormat.name);
  if (doubt === null) return;
  const field = policy.gpu === null ? 'resources' : policy.gpu.name === null ? 'gpu' : 'gpuProfile';
  warn(['spec', field], doubt);
}

function warnOfMode(policy: Policy, warn: Report): void {
  const mode = modeOf(policy);
  const misplaced = VISIBILITY[mode === 'Standard' ? 'Knative' : 'Standard'];
  if (misplaced in policy.labels && !(VISIBILITY[mode] in policy.labels))
    warn(
      ['spec', 'labels', misplaced],
      `does nothing in ${mode} mode, so the service can be reached from outside; use ${VISIBILITY[mode]}`,
    );
  const canary = policy.pod['canaryTrafficPercent'];
  if (mode === 'Standard' && typeof canary === 'number')
    warn(
      ['spec', 'pod', 'canaryTrafficPercent'],
      'does nothing in Standard mode; set deploymentMode: Knative',
    );
  const metric = policy.pod['scaleMetric'];
  const metrics: readonly string[] = SCALE_METRICS[mode];
  if (typeof metric !== 'string' || metrics.includes(metric)) return;
  if (OTHER_AUTOSCALERS.some((key) => key in policy.annotations)) return;
  warn(
    ['spec', 'pod', 'scaleMetric'],
    `KServe refuses ${metric} in ${mode} mode; use ${metrics.join(' or ')}, or annotate another autoscaler`,
  );
}
