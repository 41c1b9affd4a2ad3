/** DeploymentPolicy as people write it: its fields, their shapes and what each is for. What they mean together is in policy.ts. */
import { z } from 'zod';
import { deliverySchema, readinessSchema } from './delivery-schema.ts';
import { API_VERSION, gpuSpecSchema, metadataSchema } from './gpu-profile.ts';
import { doc } from './schema-doc.ts';
import { fields } from './schema-faults.ts';
import {
  modelFormatSchema,
  name,
  replicasSchema,
  resourcesSchema,
  rolloutSchema,
  runtimeSchema,
  storageSchema,
} from './workload-schema.ts';

const patterns = z.array(
  z.string().min(1, 'a pattern is not empty').max(256, 'a pattern has at most 256 characters'),
);
const anything = z.record(z.string(), z.unknown()).nullish();
const texts = z.record(z.string(), z.string().nullable()).nullish();

const PROTOCOLS = ['v1', 'v2', 'grpc-v1', 'grpc-v2'] as const;
export type ProtocolVersion = (typeof PROTOCOLS)[number];

const matchSchema = fields({
  repositories: doc(
    patterns.min(1, 'name at least one repository'),
    'Patterns of repository ids, `<forge name>:<path>`. `*` stands for any text within a segment, `**` for any text ' +
      'across segments; one with a leading `!` excludes. At least one must include.',
    { examples: [['gitlab:ml/vision/*', '!gitlab:ml/vision/scratch-*']] },
  ),
  tags: doc(
    patterns.nullish(),
    'Patterns of tag names, written like those of repositories and without `refs/tags/`. Left out: no tag is ' +
      'deployed, and `branches` must name what is.',
    { examples: [['v*', '!v*-rc*']] },
  ),
  branches: doc(
    patterns.nullish(),
    'Patterns of branch names, without `refs/heads/`; every push to such a branch is deployed, with its commit as ' +
      'the revision. Left out: no branch is deployed, and `tags` must name what is.',
    { examples: [['main', 'preview/*']] },
  ),
});

const targetSchema = fields({
  cluster: doc(
    name.nullish(),
    'The cluster, by its name in modelhook.yaml. Left out: the only one there; with none configured, `default`.',
    { examples: ['prod'] },
  ),
  namespace: doc(
    name,
    'The namespace of the InferenceService, a template. What a template gives is made a valid name.',
    { examples: ['vision', 'ml-${repository.group}'] },
  ),
  name: doc(
    name.nullish(),
    'The name of the InferenceService, a template: at most 40 characters, and at most 52 together with the namespace ' +
      'in Standard mode. What a template gives is made a valid name.',
    { examples: ['iris', '${repository.name}-${branch}'], default: '${repository.name}' },
  ),
});

/** Every field a policy can have. Null and left out are the same, except where null leaves a default out: resources, ephemeral storage. */
const specSchema = fields({
  match: doc(
    matchSchema,
    'Which pushes the policy deploys. Every policy that matches makes a rollout of its own.',
    {
      examples: [{ repositories: ['gitlab:ml/vision/*'], tags: ['v*', '!v*-rc*'] }],
    },
  ),
  environment: doc(
    z
      .string()
      .regex(
        /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
        'expected letters, digits, ".", "_" and "-"',
      )
      .nullish(),
    'Names the commit status, `modelhook/<environment>`. Left out: the name of the policy. Policies that can match ' +
      'one ref need different environments.',
    { examples: ['production'] },
  ),
  target: doc(
    targetSchema,
    'Where the InferenceService goes. A target belongs to the repository that first deployed it.',
    { examples: [{ cluster: 'prod', namespace: 'vision', name: '${repository.name}' }] },
  ),
  description: doc(
    z.string().nullish(),
    'What the policy is for, a template: shown with the policy, and with `conventions: alauda` also the annotation ' +
      '`cpaas.io/description`. Left out: empty.',
    { examples: ['Vision models, production'] },
  ),
  runtime: doc(
    runtimeSchema.nullish(),
    'The serving runtime: by `name`, else by `class`; with both they must agree. With neither, it is chosen by ' +
      "KServe's own rule (`autoSelect`, then priority) and written into the manifest.",
    { examples: [{ name: 'kserve-mlserver' }, { class: 'mlserver' }] },
  ),
  protocolVersion: doc(z.enum(PROTOCOLS).nullish(), 'The inference protocol. The runtime must support it.', {
    examples: ['grpc-v2'],
    default: 'v2',
  }),
  gpuProfile: doc(
    name.nullish(),
    'What a replica gets of a GPU: the name of a GpuProfile in the config repository. Not beside `gpu`; with neither ' +
      'there is no GPU.',
    { examples: ['hami-half-card'] },
  ),
  gpu: doc(
    gpuSpecSchema.nullish(),
    "What a replica gets of a GPU, written here: the shape of a GpuProfile's `spec`. Not beside `gpuProfile`; with " +
      'neither there is no GPU.',
    { examples: [{ resources: { 'nvidia.com/gpu': 1 } }] },
  ),
  resources: doc(
    resourcesSchema.nullish(),
    'CPU, memory and other resources of one replica. Those of GPUs come from `gpuProfile` or `gpu` and go into the limits.',
    { examples: [{ requests: { cpu: '2', memory: '8Gi' }, limits: { cpu: null, memory: '8Gi' } }] },
  ),
  replicas: doc(replicasSchema.nullish(), 'How many replicas serve the model. Left out: one.', {
    examples: [{ min: 1, max: 3 }],
  }),
  deploymentMode: doc(
    z.enum(['auto', 'Standard', 'Knative']).nullish(),
    'How KServe runs the service; it cannot change it afterwards. `auto`: Knative where `replicas.min` and ' +
      '`replicas.max` differ, else Standard. Standard with `min: 0` is refused, for it cannot scale to zero.',
    { examples: ['Standard'], default: 'auto' },
  ),
  rollout: doc(
    rolloutSchema.nullish(),
    "How old pods are replaced by new ones, in Standard mode only: `deploymentStrategy` in the manifest. Left out: KServe's own.",
    { examples: [{ strategy: 'RollingUpdate', maxSurge: 0, maxUnavailable: 1 }] },
  ),
  modelFormat: doc(
    modelFormatSchema.nullish(),
    'The format of the model, in the words of the runtime. Left out: it follows from `library_name` of the model card (README.md).',
    { examples: [{ name: 'sklearn', version: '1' }] },
  ),
  storage: doc(
    storageSchema.nullish(),
    'Where KServe gets the model from. Required, except with `conventions: alauda`.',
    { examples: [{ uri: 's3://models/${repository.path}/${sha}' }] },
  ),
  conventions: doc(
    z.enum(['kserve', 'alauda']).nullish(),
    'Whose InferenceService is rendered. `kserve`: upstream KServe. `alauda`: Alauda AI, with its labels and ' +
      'annotations, and with command, arguments and environment copied from the runtime.',
    { examples: ['alauda'], default: 'kserve' },
  ),
  labels: doc(
    texts,
    'Labels of the InferenceService; the values are templates, made valid label text. KServe copies them to the pods, ' +
      'so a changed value restarts these. Keys of `modelhook.dev/` are refused.',
    { examples: [{ team: 'vision', version: '${revision}' }], default: {} },
  ),
  annotations: doc(
    texts,
    'Annotations of the InferenceService; the values are templates. KServe copies them to the pods, so a changed value ' +
      'restarts these. Keys of `modelhook.dev/` are refused.',
    { examples: [{ 'example.com/source': '${repository.path}@${sha}' }], default: {} },
  ),
  pod: doc(
    anything,
    "Fields of the InferenceService's `spec.predictor`, such as `serviceAccountName` or `tolerations`; they go over " +
      "those of the GPU profile. Not templates: of placeholders only KServe's own are allowed.",
    { examples: [{ serviceAccountName: 'models-reader', nodeSelector: { zone: 'a' } }], default: {} },
  ),
  container: doc(
    anything,
    "Fields of the model's container, such as `env` or `securityContext`; KServe appends `args` to those of the " +
      "runtime. Not templates: of placeholders only KServe's own are allowed.",
    {
      examples: [{ env: [{ name: 'SERVED_NAME', value: '{{.Name}}' }], args: ['--workers=2'] }],
      default: {},
    },
  ),
  updateExisting: doc(
    z.boolean().nullish(),
    'Whether a newer revision changes a service that is already deployed. `false`: its rollout fails and says so, and the service stays as it is.',
    { examples: [false], default: true },
  ),
  delivery: doc(
    deliverySchema.nullish(),
    'How the manifest gets to the cluster: by a commit in a GitOps repository, or applied. Left out: a commit in the ' +
      'only GitOps repository of modelhook.yaml.',
    { examples: [{ gitops: 'fleet', path: 'models/${target.name}.yaml' }] },
  ),
  readiness: doc(
    readinessSchema.nullish(),
    'How long a deployed service is awaited, and when it counts as failed. It needs a cluster to which modelhook.yaml ' +
      'gives access; a rollout to any other ends with its delivery.',
    { examples: [{ timeout: '1h', stability: '5m' }] },
  ),
  suspend: doc(
    z.boolean().nullish(),
    '`true`: rollouts of the policy wait, and say so, until this is changed.',
    { examples: [true], default: false },
  ),
  onPolicyChange: doc(
    z.enum(['redeploy', 'nextEvent']).nullish(),
    'What a merged policy change does to what is deployed: `redeploy` what now renders differently, or wait for the ' +
      '`nextEvent`: the next push of each ref.',
    { examples: ['nextEvent'], default: 'redeploy' },
  ),
  onRefDelete: doc(
    z.enum(['keep', 'remove']).nullish(),
    'What becomes of a service when the tag or branch that deployed it is deleted. `remove` suits branch previews: what ' +
      'the ref has brought is removed, unless another ref has deployed there since.',
    { examples: ['remove'], default: 'keep' },
  ),
});

export const policySchema = fields({
  apiVersion: doc(z.literal(API_VERSION), 'The version of the format.', { examples: [API_VERSION] }),
  kind: doc(z.literal('DeploymentPolicy'), 'What the document is.', { examples: ['DeploymentPolicy'] }),
  metadata: doc(metadataSchema, 'What the policy is called.', { examples: [{ name: 'vision-production' }] }),
  spec: doc(specSchema, 'What is deployed, where to, and how.', {
    examples: [
      {
        match: { repositories: ['gitlab:ml/vision/*'], tags: ['v*'] },
        target: { namespace: 'vision' },
        storage: { uri: 's3://models/${repository.path}/${sha}' },
      },
    ],
  }),
}).meta({
  title: 'DeploymentPolicy',
  description: 'Which tags and branches of which model repositories are deployed, where to, and how.',
});
export type PolicySpec = z.infer<typeof specSchema>;
