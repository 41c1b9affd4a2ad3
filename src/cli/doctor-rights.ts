/** What `modelhook doctor` says of RBAC in a cluster. */
import type { ClusterRight } from '../cluster/cluster.ts';
import type { Policy } from '../core/policy.ts';
import type { Finding } from '../forge/forge.ts';
import { good } from './doctor-findings.ts';

/** What only `delivery.apply` needs. */
const WRITES: readonly string[] = ['get', 'create', 'patch', 'delete'];
/** The namespace that deploy/rbac-namespaced.yaml is written for. */
const OF_THE_FILE = 'vision';

/**
 * @param missing what of all that modelhook does it may not do
 * @param namespaces those the cluster is limited to; empty: none are left out
 * @param policies of the cluster; null: they could not be read
 */
export function rightsFindings(
  missing: readonly ClusterRight[],
  namespaces: readonly string[],
  policies: readonly Policy[] | null,
): Finding[] {
  if (missing.length === 0) return [good('rights', 'RBAC allows all that modelhook does')];
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
    const place = namespace === null ? '' : ` in namespace ${namespace}`;
    return {
      about: 'rights',
      state: isWrite && !isApplied ? 'warning' : 'fault',
      message: `may not ${verbs.join(', ')} ${what}${place}${isWrite ? ', which delivery.apply needs' : ''}; the rule is ${rule}`,
      fix: rbacCommand(namespaces, namespace),
    };
  });
}

/**
 * @param namespaces those the cluster is limited to; empty: none are left out
 * @param namespace where a right is missing; null: in the whole cluster
 * @returns the command that gives modelhook's service account its rights there
 */
export function rbacCommand(namespaces: readonly string[], namespace: string | null = null): string {
  const [first] = namespaces;
  if (first === undefined) return 'kubectl apply -f deploy/rbac.yaml';
  const place = namespace !== null && namespaces.includes(namespace) ? namespace : first;
  const file = 'deploy/rbac-namespaced.yaml';
  if (place === OF_THE_FILE) return `kubectl apply -f ${file}`;
  return `sed 's/namespace: ${OF_THE_FILE}/namespace: ${place}/' ${file} | kubectl apply -f -`;
}
