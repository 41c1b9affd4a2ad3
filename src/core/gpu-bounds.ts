/** Whether the GPUs of a policy stay within its bound. */
import { type Bound, nameFault, outside, whose } from './bound.ts';
import { gpuCount, isExtended } from './gpu-profile.ts';
import { isJsonObject } from './json.ts';
import { type Field, fieldsOf } from './node-access.ts';
import type { Policy } from './policy.ts';
import type { Report } from './schema-faults.ts';

/** @returns the bound of the file in which a GPU profile stands; null where there is no such profile */
export type BoundOfProfile = (profile: string) => Bound | null;

/** Checks that GPUs come from the profiles that are allowed. */
export function checkGpus(policy: Policy, bound: Bound, fault: Report, boundOfProfile: BoundOfProfile): void {
  const { gpu, resources } = policy;
  const { gpuProfiles: allowed } = bound;
  if (allowed === undefined) return;
  if (gpu !== null) {
    const found =
      gpu.name === null
        ? outside('a GPU without a profile', bound, allowed.patterns)
        : (nameFault('GPU profile', gpu.name, bound, allowed) ??
          ownProfileFault(gpu.name, boundOfProfile(gpu.name)));
    if (found !== null) fault(['spec', gpuField(policy)], found);
  }
  const own = Object.keys({ ...gpu?.resources, ...resources.limits }).filter(
    (name) => isDevice(policy, name) && resources.limits[name] !== gpu?.resources[name],
  );
  for (const name of own)
    fault(
      ['spec', 'resources', 'limits', name],
      outside(`${name}, other than its GPU profile has it,`, bound, allowed.patterns),
    );
}

/** Whoever has their GPUs bounded makes no profile that counts, neither for themselves nor for others. */
const ownProfileFault = (profile: string, place: Bound | null): string | null =>
  place?.gpuProfiles === undefined
    ? null
    : `GPU profile "${profile}" stands among ${whose(place)}, where modelhook.yaml has gpuProfiles, so it does not count; move it out of ${place.directory || 'the root'} into a directory whose policies.bounds have none`;

/** Whatever a profile brings is a GPU's, and all else may be that is no resource of Kubernetes' own. */
const isDevice = ({ gpu }: Policy, resource: string): boolean =>
  isExtended(resource) || Object.hasOwn(gpu?.resources ?? {}, resource);

/** @returns the field of a policy that its GPUs are of */
export const gpuField = ({ gpu }: Policy): string =>
  gpu === null ? 'resources' : gpu.name === null ? 'gpu' : 'gpuProfile';

/** @returns how many GPUs a replica has, or shares of one, other containers included */
export const gpusOf = (policy: Policy): number =>
  gpuCount(policy.resources.limits, (name) => isDevice(policy, name)) + gpusOfContainers(policy);

/** Of the containers beside the model's. */
function gpusOfContainers({ gpu, pod }: Policy): number {
  let count = 0;
  for (const { name, value } of fieldsOf([gpu?.pod ?? {}, pod]))
    if (name === 'limits' && isJsonObject(value)) count += gpuCount(value);
  return count;
}

/** @returns why a field of `pod` or `container` is a way to GPUs beside the profile and the limits; null where it is none */
export function deviceFault(
  { path, name, parent, value }: Field,
  { gpuProfiles, maxGpus, ...bound }: Bound,
): string | null {
  const isResource = (parent === 'limits' || parent === 'requests') && isExtended(name);
  if (gpuProfiles !== undefined && isResource)
    return outside(`${name} of no GPU profile`, bound, gpuProfiles.patterns);
  if (gpuProfiles === undefined && maxGpus === undefined) return null;
  if (name === 'resourceClaims' && Array.isArray(value) && value.length > 0)
    return `claims devices, of which modelhook.yaml bounds GPUs for ${whose(bound)}; remove it, or have the bound changed`;
  // KServe gives workers and their head GPUs by itself, as many as tensorParallelSize.
  if (name === 'workerSpec' && path.length === 1)
    return `has workers, whose GPUs are not known here, and modelhook.yaml bounds them for ${whose(bound)}; remove it, or have gpuProfiles and maxGpus of their policies.bounds removed`;
  return null;
}
