/** Rules for one policy that its schema cannot say: what hangs together, and what Kubernetes and KServe refuse. */
import { checkGpuResources } from './gpu-profile.ts';
import { isJsonObject, type Json } from './json.ts';
import {
  DNS_LABEL,
  isQualifiedKey,
  KSERVE_NAME,
  LABEL_VALUE,
  MAX_NAME,
  MAX_NAME_AND_NAMESPACE,
  unsafePath,
} from './names.ts';
import { suggestion } from './nearest.ts';
import { modeOf, type Policy } from './policy.ts';
import { parseQuantity } from './quantity.ts';
import type { Report } from './schema-faults.ts';
import { storageUriFault, storageUriWarning } from './storage-uri.ts';
import { fillTemplate, parseTemplate, TEMPLATE_VARIABLES, templateFault, variablesOf } from './template.ts';
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
  checkResources(policy, sink.fault);
  checkScaling(policy, sink);
  checkMetadata(policy, sink.fault);
  checkOverrides(policy, sink);
  checkText(spec, ['spec'], sink.fault);
}

function checkMatch({ match }: Policy, report: Report): void {
  if (match.tags.include.length + match.branches.include.length === 0)
    report(
      ['spec', 'match'],
      'name what to deploy in tags, in branches, or in both; exclusions alone match nothing',
    );
  if (match.repositories.include.length === 0)
    report(['spec', 'match', 'repositories'], 'exclusions alone match nothing; name at least one repository');
  for (const [field, { patterns }] of Object.entries(match)) {
    patterns.forEach((pattern, at) => {
      const path = ['spec', 'match', field, at];
      const bare = pattern.replace(/^!/, '');
      if (/[?[\]]/.test(bare)) report(path, 'only * (within a segment) and ** (across) are wildcards');
      if (bare === '') report(path, 'there is no pattern after "!"');
      if (bare.includes('***')) report(path, 'there is no wildcard of three *; write * or **');
      if (field !== 'repositories' && bare.startsWith('refs/'))
        report(path, `write the short name, without refs/${field === 'tags' ? 'tags' : 'heads'}/`);
      if (field === 'repositories' && bare !== '' && !/^[^/]*[:*]/.test(bare))
        report(path, 'a repository is written <forge name>:<path>, such as gitlab:ml/vision/iris');
    });
  }
}

/** What a template at some place may not name: itself, and what is decided after it. */
const LATER: Record<string, readonly string[]> = {
  namespace: ['target.namespace', 'target.name'],
  name: ['target.name'],
};

/** @returns whether all templates can be filled */
function checkTemplates(policy: Policy, report: Report): boolean {
  let good = true;
  const places: [Path, string][] = [
    [['spec', 'target', 'namespace'], policy.target.namespace],
    [['spec', 'target', 'name'], policy.target.name],
    [['spec', 'storage', 'uri'], policy.storage.uri],
    [['spec', 'delivery', 'path'], policy.delivery.path],
    ...Object.entries(policy.labels).map(([key, text]): [Path, string] => [['spec', 'labels', key], text]),
    ...Object.entries(policy.annotations).map(([key, text]): [Path, string] => [
      ['spec', 'annotations', key],
      text,
    ]),
  ];
  for (const [path, template] of places) {
    for (const part of parseTemplate(template)) {
      const fault = templateFault(part);
      if (fault === null || !('ordinal' in part)) continue;
      good = false;
      const hint = part.kind === 'unknown' ? suggestion(part.name, TEMPLATE_VARIABLES) : '';
      report(path, `${fault}${hint || `; known are ${TEMPLATE_VARIABLES.join(', ')}`}`, {
        needle: '${',
        ordinal: part.ordinal,
      });
    }
    const later = path[1] === 'target' ? (LATER[String(path[2])] ?? []) : [];
    for (const name of variablesOf(template)) {
      if (!later.includes(name)) continue;
      good = false;
      report(path, `\${${name}} is not decided yet here; use another variable`);
    }
  }
  return good;
}

const isLiteral = (template: string): boolean => variablesOf(template).size === 0;

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

/** The storage URI and the delivery path, with `x` for every value. */
function checkAddresses(policy: Policy, { fault, warn }: Sink): void {
  const values = Object.fromEntries(TEMPLATE_VARIABLES.map((variable) => [variable, 'x']));
  const uri = fillTemplate(policy.storage.uri, 'spec.storage.uri', values);
  const wrong = storageUriFault(uri);
  if (wrong !== null) fault(['spec', 'storage', 'uri'], wrong);
  const doubtful = storageUriWarning(uri);
  if (doubtful !== null) warn(['spec', 'storage', 'uri'], doubtful);
  const { path } = policy.delivery;
  const unsafe = unsafePath(fillTemplate(path, 'spec.delivery.path', values));
  if (unsafe !== null) fault(['spec', 'delivery', 'path'], `"${path}" ${unsafe}`);
  if (policy.storage.pvc === null) return;
  if (!DNS_LABEL.test(policy.storage.pvc)) fault(['spec', 'storage', 'pvc'], 'expected the name of a claim');
  warn(
    ['spec', 'storage', 'pvc'],
    'it becomes the annotation storage-initializer-pvc-name, which upstream KServe ignores; there write storage.uri: pvc://claim/path',
  );
}

function checkResources(policy: Policy, report: Report): void {
  const { requests, limits } = policy.resources;
  for (const [kind, quantities] of Object.entries(policy.resources)) {
    for (const [name, value] of Object.entries(quantities)) {
      const amount = parseQuantity(value);
      const path = ['spec', 'resources', kind, name];
      if (!isQualifiedKey(name)) report(path, 'is no name of a resource, such as cpu or nvidia.com/gpu');
      else if (amount === null || amount < 0)
        report(path, `"${value}" is no quantity, such as 500m, 2 or 4Gi`);
    }
  }
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit === undefined || (parseQuantity(request) ?? 0) <= (parseQuantity(limit) ?? 0)) continue;
    report(
      ['spec', 'resources', 'requests', name],
      `requests ${request} and the limit is ${limit}; a request is at most its limit, so set resources.limits.${name} too`,
    );
  }
  const gpu = Object.fromEntries(Object.entries(limits).filter(([name]) => name.startsWith('nvidia.com/')));
  checkGpuResources(gpu, ['spec', 'resources', 'limits'], report);
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
  if (isZero(rollout.maxSurge) && isZero(rollout.maxUnavailable))
    fault(['spec', 'rollout'], 'maxSurge and maxUnavailable are both 0, so no pod could ever be replaced');
}

const isZero = (value: number | string | null): boolean =>
  value === 0 || (typeof value === 'string' && /^0+%$/.test(value));

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
      if (!isQualifiedKey(key))
        report(path, `"${key}" is no key of Kubernetes: an optional DNS name, "/", a name`);
      if (OWN_KEYS.includes(key)) report(path, 'modelhook sets this key itself; remove it');
      if (field === 'labels' && isLiteral(text) && !LABEL_VALUE.test(text))
        report(path, `"${text}" is no label value: at most 63 letters, digits, ".", "_" and "-"`);
    }
  }
}

/** Fields of spec.predictor and of its model that modelhook sets itself, with the policy field to use instead. */
const OWN_POD_FIELDS: Record<string, string> = {
  model: 'spec.container',
  minReplicas: 'spec.replicas',
  maxReplicas: 'spec.replicas',
  deploymentStrategy: 'spec.rollout',
};
const OWN_CONTAINER_FIELDS: Record<string, string> = {
  modelFormat: 'spec.modelFormat',
  runtime: 'spec.runtime',
  protocolVersion: 'spec.protocolVersion',
  storageUri: 'spec.storage',
  storageUris: 'spec.storage',
  storage: 'spec.storage',
  resources: 'spec.resources',
};

function checkOverrides(policy: Policy, { fault, warn }: Sink): void {
  for (const [part, own] of [
    ['pod', OWN_POD_FIELDS],
    ['container', OWN_CONTAINER_FIELDS],
  ] as const) {
    for (const field of Object.keys(policy[part])) {
      const instead = own[field];
      if (instead !== undefined)
        fault(['spec', part, field], `modelhook sets this field itself; use ${instead}`);
    }
    eachText(policy[part], ['spec', part], (path, text) => {
      for (const name of variablesOf(text))
        warn(
          path,
          `\${${name}} stays as it is: nothing is filled in ${part}, whose text belongs to the container`,
        );
    });
  }
  if ('name' in policy.container)
    fault(
      ['spec', 'container', 'name'],
      'KServe refuses a name here: it names the container itself; remove it',
    );
  for (const field of ['labels', 'annotations'] as const) {
    const entries = policy.pod[field];
    if (entries === undefined) continue;
    if (!isJsonObject(entries)) fault(['spec', 'pod', field], 'expected a map');
    else
      for (const [key, value] of Object.entries(entries))
        if (typeof value !== 'string') fault(['spec', 'pod', field, key], 'expected text; put it in quotes');
  }
}

/** What KServe may fill in: it runs Go templates over containers (kserve pkg/controller … ReplacePlaceholders). */
const PLACEHOLDER = /^\{\{\s*\.(?:Name|Namespace|Labels\.[A-Za-z_]\w*|Annotations\.[A-Za-z_]\w*)\s*\}\}/;

function checkText(spec: Json, path: Path, report: Report): void {
  const checkOne = (at: Path, text: string, within: boolean): void => {
    let ordinal = 0;
    for (let open = text.indexOf('{{'); open >= 0; open = text.indexOf('{{', open + 2), ordinal++) {
      if (PLACEHOLDER.test(text.slice(open))) continue;
      const message =
        'KServe would run this {{ as a Go template; only {{.Name}}, {{.Namespace}}, {{.Labels.x}} and {{.Annotations.x}} are allowed';
      report(at, message, ...(within ? [{ needle: '{{', ordinal }] : []));
    }
  };
  eachText(
    spec,
    path,
    (at, text) => checkOne(at, text, true),
    (at, key) => {
      if (key.startsWith('modelhook.dev/'))
        report(at, 'keys of modelhook.dev/ belong to modelhook; choose another');
      checkOne(at, key, false);
    },
  );
}

function eachText(
  value: Json,
  path: Path,
  visitText: (path: Path, text: string) => void,
  visitKey: (path: Path, key: string) => void = () => {},
): void {
  if (typeof value === 'string') visitText(path, value);
  else if (Array.isArray(value))
    for (const [at, item] of value.entries()) eachText(item, [...path, at], visitText, visitKey);
  else if (isJsonObject(value))
    for (const [key, item] of Object.entries(value)) {
      visitKey([...path, key], key);
      eachText(item, [...path, key], visitText, visitKey);
    }
}
