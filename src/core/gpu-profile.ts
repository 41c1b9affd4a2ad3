/** What a replica gets of a GPU, under a name that policies share. */
import { z } from 'zod';
import type { Json, JsonObject } from './json.ts';
import { DNS_LABEL, isQualifiedKey } from './names.ts';
import { parseQuantity } from './quantity.ts';
import { doc } from './schema-doc.ts';
import { fields, type Report } from './schema-faults.ts';
import type { Path } from './yaml-source.ts';

export const API_VERSION = 'modelhook.dev/v1alpha1';

const count = z.union([z.int(), z.string().regex(/^\d+$/)], { error: 'expected a whole number' });

export const metadataSchema = fields({
  name: doc(
    z.string().regex(DNS_LABEL, 'expected lower-case letters, digits and "-", at most 63 characters'),
    'Lower-case letters, digits and `-`, at most 63 characters. No other document of the kind has the same name.',
    { examples: ['vision-production', 'hami-half-card'] },
  ),
});

export const gpuSpecSchema = fields({
  resources: doc(
    z.record(z.string(), count),
    'GPU resources of one replica: whole numbers, which go into the limits. Either whole cards, `nvidia.com/gpu`, or ' +
      'shares: `nvidia.com/gpualloc` of them, each `nvidia.com/gpucores` percent of a card and `nvidia.com/gpumem` MiB.',
    { examples: [{ 'nvidia.com/gpualloc': 1, 'nvidia.com/gpucores': 50, 'nvidia.com/gpumem': 4096 }] },
  ),
  memoryMiB: doc(
    z.int().min(1).nullish(),
    'GPU memory that one replica may use, in MiB. Read and kept, for a check whether the model fits; this version has none.',
    { examples: [4096] },
  ),
  pod: doc(
    z.record(z.string(), z.unknown()).nullish(),
    "Fields merged into the InferenceService's `spec.predictor`, such as `nodeSelector` and `tolerations`. The " +
      "policy's `pod` goes over them.",
    { examples: [{ nodeSelector: { 'gpu-model': 'a10' } }], default: {} },
  ),
});

export const gpuProfileSchema = fields({
  apiVersion: doc(z.literal(API_VERSION), 'The version of the format.', { examples: [API_VERSION] }),
  kind: doc(z.literal('GpuProfile'), 'What the document is.', { examples: ['GpuProfile'] }),
  metadata: doc(metadataSchema, 'What the profile is called; policies name it in `gpuProfile`.', {
    examples: [{ name: 'hami-half-card' }],
  }),
  spec: doc(gpuSpecSchema, 'What a replica gets.', { examples: [{ resources: { 'nvidia.com/gpu': 1 } }] }),
}).meta({
  title: 'GpuProfile',
  description: 'What one replica gets of a GPU, under a name that policies share.',
});

export interface GpuProfile {
  /** null: written inline in a policy */
  name: string | null;
  /** Extended resources of one replica, for the limits: whole numbers as text. */
  resources: Record<string, string>;
  /** What one replica may use, for the check whether the model fits; null: not known */
  memoryMiB: number | null;
  /** Merged into the predictor's pod. */
  pod: JsonObject;
}

/** @returns the profile with defaults in place of what was left out */
export function normaliseGpu(name: string | null, spec: z.infer<typeof gpuSpecSchema>): GpuProfile {
  return {
    name,
    resources: Object.fromEntries(Object.entries(spec.resources).map(([key, value]) => [key, String(value)])),
    memoryMiB: spec.memoryMiB ?? null,
    // Read from YAML and inspected: plain data.
    pod: (spec.pod ?? {}) as JsonObject,
  };
}

const WHOLE_CARD = 'nvidia.com/gpu';
/** HAMi as Alauda configures it shares cards under these names; a pod asks for whole cards or for shares. */
const SHARES = ['nvidia.com/gpualloc', 'nvidia.com/gpucores', 'nvidia.com/gpumem'];

/** Checks one map of GPU resources, which may come from a profile or stand among a policy's limits. */
export function checkGpuResources(
  resources: Readonly<Record<string, string>>,
  path: Path,
  report: Report,
): void {
  const shares = SHARES.filter((name) => name in resources);
  if (WHOLE_CARD in resources && shares.length > 0)
    report(
      [...path, WHOLE_CARD],
      `asks for whole cards, ${shares.join(' and ')} for shares; keep one of the two`,
    );
  const cores = resources['nvidia.com/gpucores'];
  if (cores !== undefined && Number(cores) > 100)
    report([...path, 'nvidia.com/gpucores'], `is a percentage of a card, 1 to 100, got ${cores}`);
  for (const [name, value] of Object.entries(resources)) {
    if (!isQualifiedKey(name) || !name.includes('/'))
      report([...path, name], 'is no name of a device: it has a domain, such as nvidia.com/gpu');
    else if ([WHOLE_CARD, ...SHARES].includes(name) && !/^[1-9]\d*$/.test(value))
      report([...path, name], `must be a whole number of at least 1, got ${value}`);
  }
}

/** Vendors whose devices are GPUs or take their place. */
const VENDORS =
  /^(?:nvidia|amd|gpu\.intel|intel|habana|huawei|hygon|cambricon|metax-tech|mthreads|iluvatar|volcano)\.(?:com|ai|sh)\//;

/** @returns whether a resource is a GPU, by the domain of its vendor */
export const isGpu = (resource: string): boolean => VENDORS.test(resource);

/** Kubernetes takes everything with a domain of its own for a device: whole numbers, requests equal to limits. */
export const isExtended = (resource: string): boolean =>
  resource.includes('/') && !/^(?:.*\.)?kubernetes\.io\//.test(resource);

/** How much of a card, not how many: `gpucores`, `gpumem-percentage`, `Ascend910-memory`, `mlu.smlu.vcore`. */
const SHARE_OF_CARD = /(?:cores?|mem(?:ory)?(?:-percentage)?|priority)$/;

/**
 * @param limits of a container
 * @param isCounted which of them are of GPUs; whatever is no resource of Kubernetes' own may be one
 * @returns how many GPUs, or shares of one, it gets. With only the size of a share it is one of that vendor, as HAMi has
 *   it; of a vendor that is not known here every number counts in full.
 */
export function gpuCount(
  limits: Readonly<Record<string, Json>>,
  isCounted: (resource: string) => boolean = isExtended,
): number {
  const gpus = Object.entries(limits).filter(([name]) => isCounted(name));
  const byVendor = Map.groupBy(gpus, ([name]) => name.split('/', 1)[0]);
  return sum([...byVendor.values()].map(countOfVendor));
}

function countOfVendor(gpus: readonly [resource: string, amount: Json][]): number {
  const counted = gpus.filter(([name]) => !isGpu(name) || !SHARE_OF_CARD.test(name));
  if (counted.length === 0) return 1;
  return sum(counted.map(([, amount]) => Math.max(parseQuantity(String(amount)) ?? 0, 0)));
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

/** Formats whose servers have one image for CPUs and one for GPUs, between which KServe chooses. */
const IMAGE_BY_HARDWARE = ['huggingface', 'vLLM', 'tensorflow', 'pytorch'];

/**
 * KServe knows a GPU only by NVIDIA's own names, and takes the CPU image for any other (its UpdateImageTag).
 * @param format the model's, as KServe calls it
 * @returns why the wrong image may run, and what to do; null where it will not
 */
export function cpuImageDoubt(
  { resources, container }: { resources: { limits: Record<string, string> }; container: JsonObject },
  format: string,
): string | null {
  const known = (name: string): boolean => name === WHOLE_CARD || name.startsWith('nvidia.com/mig-');
  const names = Object.keys(resources.limits).filter(isGpu);
  if (names.length === 0 || names.some(known) || !IMAGE_BY_HARDWARE.includes(format)) return null;
  if ('runtimeVersion' in container || 'image' in container) return null;
  return (
    `KServe does not take ${names.join(', ')} for a GPU, and may run the CPU image of the runtime; ` +
    'set container.runtimeVersion, or give the runtime an image by digest'
  );
}
