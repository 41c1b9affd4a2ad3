/** The parts of a DeploymentPolicy that say how a manifest gets to the cluster, and when it is well there. */
import { z } from 'zod';
import { doc } from './schema-doc.ts';
import { fields } from './schema-faults.ts';
import { name } from './workload-schema.ts';

const duration = z
  .string({ error: 'expected a time such as 30m' })
  .regex(/^(?:\d{1,6}(?:ms|s|m|h))+$/, 'expected a time such as 90s, 30m or 1h30m');

export const deliverySchema = fields({
  gitops: doc(
    name.nullish(),
    'The GitOps repository the manifest is committed to: a key of `gitops` in modelhook.yaml. May be left out where ' +
      'there is exactly one.',
    { examples: ['fleet'] },
  ),
  apply: doc(
    z.boolean().nullish(),
    '`true`: the manifest is applied to the cluster instead. It needs a cluster to which modelhook.yaml gives access.',
    { examples: [true], default: false },
  ),
  path: doc(
    name.nullish(),
    'The file in the GitOps repository, from its root, a template. Each value that is filled in becomes one safe segment.',
    {
      examples: ['apps/${target.namespace}/${target.name}.yaml'],
      default: '${target.cluster}/${target.namespace}/${target.name}.yaml',
    },
  ),
  via: doc(
    z.enum(['push', 'pullRequest']).nullish(),
    '`push`: the commit goes to the branch at once. `pullRequest`: it goes to a branch of its own with a pull request, ' +
      'one a target, and the rollout waits until people have merged or closed that. Plain Git servers have none.',
    { examples: ['pullRequest'], default: 'push' },
  ),
  adopt: doc(
    z.boolean().nullish(),
    '`true`: a file or an InferenceService that something else made is taken over. Otherwise such a rollout fails and ' +
      'changes nothing.',
    { examples: [true], default: false },
  ),
  selfHeal: doc(
    z.boolean().nullish(),
    'With `apply` only. `true`: what someone changed or deleted in the cluster is put back as it was delivered, and the ' +
      'rollout says who had changed what. It takes nothing that modelhook does not manage.',
    { examples: [true], default: false },
  ),
});

const graceSchema = fields({
  imagePull: doc(duration.nullish(), 'How long an image may be impossible to pull.', {
    examples: ['2m'],
    default: '60s',
  }),
  unschedulable: doc(
    duration.nullish(),
    'How long a pod may find no node; longer while the cluster is scaling up.',
    { examples: ['30m'], default: '10m' },
  ),
  invalidSpec: doc(
    duration.nullish(),
    'How long KServe may call the InferenceService invalid, for a runtime may appear late.',
    { examples: ['1m'], default: '30s' },
  ),
  restarts: doc(z.int().min(1).nullish(), 'How many restarts of a pod that crashes count as failed.', {
    examples: [5],
    default: 3,
  }),
});

export const readinessSchema = fields({
  observe: doc(
    z.enum(['auto', 'never']).nullish(),
    '`auto`: the rollout ends when the service serves, where modelhook.yaml gives access to its cluster. `never`: it ' +
      'ends with the delivery.',
    { examples: ['never'], default: 'auto' },
  ),
  timeout: doc(
    duration.nullish(),
    'How long a service may take to become ready, written with `ms`, `s`, `m` or `h`; after that the rollout has ' +
      'failed.',
    { examples: ['1h30m'], default: '30m' },
  ),
  stability: doc(
    duration.nullish(),
    'How long a ready service is watched further: if it stops being ready within this time, the status turns to ' +
      'failed.',
    { examples: ['5m'], default: '0s' },
  ),
  grace: doc(
    graceSchema.nullish(),
    'How long a cause of failure must last before the rollout fails, ahead of the timeout. It is watched on until then, ' +
      'and may still become ready.',
    { examples: [{ unschedulable: '30m', restarts: 5 }] },
  ),
});
