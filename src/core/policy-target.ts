/** From an event to the values templates are filled with, and to the target a policy names with them. */
import { StalledError } from './errors.ts';
import type { ModelCard } from './model-card.ts';
import { kubernetesName, MAX_NAME, MAX_NAME_AND_NAMESPACE, MIN_HASHED_NAME } from './names.ts';
import type { Policy } from './policy.ts';
import { parseRef, parseRepositoryId, revisionOf, shortSha } from './ref-event.ts';
import type { Target } from './rollout.ts';
import { fillTemplate, type TemplateValues, variablesOf } from './template.ts';

/** A ref of a repository at a commit. */
export interface RefAtCommit {
  repository: string;
  ref: string;
  sha: string;
}

/** @returns what templates can name before the target is known; null stands for what this event does not have */
export function valuesOf(policy: Policy, event: RefAtCommit, card: ModelCard | null): TemplateValues {
  const path = parseRepositoryId(event.repository)?.path ?? event.repository;
  const segments = path.split('/');
  const ref = parseRef(event.ref);
  return {
    'repository.name': segments.at(-1) ?? path,
    'repository.path': path,
    'repository.group': segments.length > 1 ? (segments[0] ?? null) : null,
    'repository.subgroup': segments.length > 2 ? segments.slice(1, -1).join('/') : null,
    tag: ref?.kind === 'tag' ? ref.name : null,
    branch: ref?.kind === 'branch' ? ref.name : null,
    sha: event.sha,
    shortSha: shortSha(event.sha),
    revision: revisionOf(event.ref, event.sha),
    environment: policy.environment,
    'target.cluster': policy.target.cluster,
    'modelCard.library': card?.library ?? null,
    'modelCard.pipelineTag': card?.pipelineTag ?? null,
  };
}

/**
 * Names the target. A literal name was checked when the policy was loaded; a filled one is made a valid name.
 * @throws StalledError where a variable has no value, or the namespace leaves no room for a name
 */
export function resolveTarget(policy: Policy, values: TemplateValues): Target {
  const { cluster } = policy.target;
  const namespace = fillName(policy.target.namespace, 'spec.target.namespace', values, 63);
  // The same name in each mode: with `auto` the mode follows the replicas, and the name must not.
  const room = policy.deploymentMode === 'Knative' ? MAX_NAME : MAX_NAME_AND_NAMESPACE - namespace.length;
  const limit = Math.min(MAX_NAME, room);
  const name = fillName(
    policy.target.name,
    'spec.target.name',
    { ...values, 'target.namespace': namespace },
    MAX_NAME,
  );
  if (name.length <= limit) return { cluster, namespace, name };
  if (limit < MIN_HASHED_NAME || variablesOf(policy.target.name).size === 0)
    throw new StalledError(
      `the namespace "${namespace}" leaves no room for the name "${name}": KServe makes one host label of both, ` +
        `and ${MAX_NAME_AND_NAMESPACE} characters fit in Standard mode`,
      'use a shorter namespace or name in the policy',
    );
  const source = fillTemplate(policy.target.name, 'spec.target.name', {
    ...values,
    'target.namespace': namespace,
  });
  return { cluster, namespace, name: kubernetesName(source, limit) };
}

function fillName(template: string, field: string, values: TemplateValues, limit: number): string {
  const filled = fillTemplate(template, field, values);
  return variablesOf(template).size === 0 ? filled : kubernetesName(filled, limit);
}
