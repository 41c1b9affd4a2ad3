/** The parts of a DeploymentPolicy that say what runs: runtime, resources, replicas, and where the model comes from. */
import { z } from 'zod';
import { doc } from './schema-doc.ts';
import { fields } from './schema-faults.ts';

/** The name of something else. */
export const name = z.string().min(1, 'expected a name');
const quantity = z.union([z.string(), z.number()], { error: 'expected a quantity such as "500m" or 4Gi' });
const quantities = z.record(z.string(), quantity.nullable()).nullish();
const surge = z.union([z.int().min(0), z.string().regex(/^\d{1,3}%$/)], {
  error: 'expected a whole number or a percentage such as "25%"',
});
const version = z.string({ error: 'expected text; put it in quotes, for KServe tells 1 from 1.0' }).min(1);

export const runtimeSchema = fields({
  name: doc(
    name.nullish(),
    'A ServingRuntime of the target namespace or a ClusterServingRuntime, by name. Left out: `class` decides.',
    { examples: ['kserve-mlserver'] },
  ),
  class: doc(
    name.nullish(),
    'The value of the label `cpaas.io/runtime-class`. Of the runtimes that have it and fit the model, the first by ' +
      'name is taken. Left out: `name` decides.',
    { examples: ['mlserver'] },
  ),
});

export const resourcesSchema = fields({
  requests: doc(
    quantities,
    'What a replica is guaranteed, as Kubernetes quantities. Keys you leave out keep their default; `null` leaves that one out.',
    { examples: [{ cpu: '500m', memory: '2Gi' }], default: { cpu: '1', memory: '4Gi' } },
  ),
  limits: doc(
    quantities,
    'What a replica may use at most, as Kubernetes quantities. Keys you leave out keep their default; `null` leaves ' +
      'that one out. A limit is at least its request.',
    { examples: [{ cpu: null, memory: '24Gi' }], default: { cpu: '4', memory: '16Gi' } },
  ),
});

export const replicasSchema = fields({
  min: doc(
    z.int().min(0).nullish(),
    'The fewest replicas. 0 scales to zero without requests, in Knative mode only.',
    { examples: [2], default: 1 },
  ),
  max: doc(
    z.int().min(0).nullish(),
    'The most replicas, not less than `min`. Left out: as many as `min`, and at least 1. With both 0 Knative scales without a limit.',
    { examples: [4] },
  ),
});

export const rolloutSchema = fields({
  strategy: doc(
    z.enum(['RollingUpdate', 'Recreate']),
    '`RollingUpdate` replaces pods step by step. `Recreate` ends the old ones first: no spare GPU is needed, and ' +
      'nothing serves meanwhile.',
    { examples: ['Recreate'] },
  ),
  maxSurge: doc(
    surge.nullish(),
    "How many pods more than wanted there may be during a rolling update, a number or a percentage. Left out: Kubernetes' 25%.",
    { examples: [0, '25%'] },
  ),
  maxUnavailable: doc(
    surge.nullish(),
    "How many pods fewer than wanted may be available during a rolling update, a number or a percentage. Left out: Kubernetes' 25%.",
    { examples: [1, '25%'] },
  ),
});

export const modelFormatSchema = fields({
  name: doc(name, 'The name of the format, spelled as the runtime lists it.', { examples: ['sklearn'] }),
  version: doc(
    version.nullish(),
    'The version of the format, as the runtime lists it. Left out: any version fits, and none is written.',
    { examples: ['1'] },
  ),
});

export const storageSchema = fields({
  uri: doc(
    name.nullish(),
    'The address of the model for KServe, a template. Required, except with `conventions: alauda`, where left out means ' +
      '`hf://${target.namespace}/${repository.name}:${revision}`.',
    { examples: ['s3://models/${repository.path}/${sha}', 'pvc://models/${repository.path}/${revision}'] },
  ),
  ephemeralStorage: doc(
    quantity.nullish(),
    "The limit of the pod's local disk, where the model is downloaded to, as a quantity. `null` sets no limit; with " +
      '`pvc` it is not used.',
    { examples: ['40Gi'], default: '10Gi' },
  ),
  pvc: doc(
    name.nullish(),
    'An existing claim for the storage initializer of Alauda AI (annotation `storage-initializer-pvc-name`). Upstream ' +
      'KServe ignores it: there write `uri: pvc://claim/path`. Left out: none.',
    { examples: ['model-cache'] },
  ),
});
