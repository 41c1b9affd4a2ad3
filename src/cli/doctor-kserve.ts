/** What `modelhook doctor` says of KServe in a cluster. */
import type { Cluster, ClusterKnowledge, ClusterRight } from '../cluster/cluster.ts';
import { messageOf } from '../core/errors.ts';
import { ASSUMED_VERSION } from '../core/kserve.ts';
import type { Finding } from '../forge/forge.ts';
import { fault, good, warning } from './doctor-findings.ts';
import { rbacCommand } from './doctor-rights.ts';

/** What is known of KServe in a cluster, and what may keep more from being known. */
export interface KServeSight {
  /** The cluster's key in modelhook.yaml. */
  cluster: string;
  /** As modelhook.yaml says; undefined: it does not. */
  configured: string | undefined;
  known: ClusterKnowledge;
  missing: readonly ClusterRight[];
  namespaces: readonly string[];
}

const ASSUMED = `${ASSUMED_VERSION.major}.${ASSUMED_VERSION.minor}`;
const CHARTS = 'oci://ghcr.io/kserve/charts';
/** KServe is installed from these charts since 0.17 (its installation guide), and needs cert-manager. */
const install = (chart: string, version: string | null): string => {
  const [, number = `${ASSUMED}.0`] = /^v?(\d+\.\d+\.\d+)/.exec(version ?? '') ?? [];
  return `helm upgrade --install ${chart} ${CHARTS}/${chart} --version v${number} --namespace kserve --create-namespace`;
};
const mayNotRead = ({ missing }: KServeSight, resource: string, name?: string): boolean =>
  missing.some((right) => right.resource === resource && (name === undefined || right.name === name));

/** @returns whether the cluster has no KServe, as far as that can be read */
export const lacksKServe = (sight: KServeSight): boolean =>
  sight.known.structure === null && !mayNotRead(sight, 'customresourcedefinitions');

/** The CRD, the version and the settings. */
export function kserveFindings(sight: KServeSight): Finding[] {
  const { known, namespaces } = sight;
  const about = 'KServe';
  const rbac = rbacCommand(namespaces);
  if (lacksKServe(sight)) {
    const fix = `${install('kserve-crd', null)} && ${install('kserve-resources', null)} --set kserve.controller.deploymentMode=Standard`;
    return [fault(about, 'is not installed', fix), ...told(known, fix)];
  }
  const mend = sight.missing.length > 0 ? rbac : 'correct what it names';
  if (known.structure === null)
    return [
      warning(about, 'its CRD cannot be read, so whether it is there is not known', rbac),
      ...told(known, mend),
    ];
  return [versionFinding(sight, rbac), settingsFinding(sight, rbac), ...told(known, mend)];
}

const told = ({ warnings }: ClusterKnowledge, fix: string): Finding[] =>
  warnings.map((message) => warning('KServe', message, fix));

function versionFinding(sight: KServeSight, rbac: string): Finding {
  const { cluster, configured, known } = sight;
  const about = 'KServe';
  if (known.kserveVersion !== null) return good(about, `version ${known.kserveVersion.replace(/^v/, '')}`);
  if (configured !== undefined) return good(about, `version ${configured}, as modelhook.yaml says`);
  const assumed = `so manifests are made for ${ASSUMED}`;
  if (mayNotRead(sight, 'deployments', 'kserve-controller-manager'))
    return warning(about, `is there, in a version that cannot be read, ${assumed}`, rbac);
  return warning(
    about,
    `is there, but no Deployment kserve/kserve-controller-manager tells its version, ${assumed}`,
    `set clusters.${cluster}.kserve in modelhook.yaml to the version of: ${everywhere('deployments', 'kserve-controller-manager')} -o wide`,
  );
}

function settingsFinding(sight: KServeSight, rbac: string): Finding {
  const { settings } = sight.known;
  const about = 'KServe';
  if (settings)
    return good(
      about,
      `runs a service that does not say how in mode ${settings.defaultDeploymentMode ?? 'Knative'}`,
    );
  const map = 'the ConfigMap kserve/inferenceservice-config';
  return mayNotRead(sight, 'configmaps')
    ? warning(about, `its settings are not known: ${map} cannot be read`, rbac)
    : warning(
        about,
        `its settings are not known: ${map} is not there`,
        everywhere('configmaps', 'inferenceservice-config'),
      );
}

/** KServe may be in a namespace of another name. */
const everywhere = (resource: string, name: string): string =>
  `kubectl get ${resource} --all-namespaces --field-selector metadata.name=${name}`;

export async function webhookFindings({ reviewer }: Cluster, { known }: KServeSight): Promise<Finding[]> {
  const about = "KServe's webhooks";
  const list =
    'kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations inferenceservice.serving.kserve.io';
  try {
    const state = await reviewer.kserveWebhooks();
    if (state === 'configured') return [good(about, 'are configured')];
    if (state === 'absent')
      return [
        fault(
          about,
          'are not all configured, so mistakes in manifests are found late',
          install('kserve-resources', known.kserveVersion),
        ),
      ];
    return [
      warning(about, 'whether they are configured cannot be read, which modelhook needs no right for', list),
    ];
  } catch (error) {
    return [warning(about, `cannot be asked for: ${messageOf(error)}`, list)];
  }
}

/** @returns that the cluster shows no runtime */
export const noRuntime = ({ known }: KServeSight): Finding =>
  warning('runtimes', 'there is none', install('kserve-runtime-configs', known.kserveVersion));
