/**
 * What a platform team lets the policies of a directory use: `policies.bounds` of modelhook.yaml. Whoever may merge into a
 * directory of the config repository gets what its bound allows, and no more.
 */
import { StalledError } from './errors.ts';
import { findGlobs, type GlobList } from './glob.ts';
import { listNames } from './nearest.ts';
import type { NodeAccess } from './node-access.ts';
import type { Target } from './rollout.ts';
import { storageUriFault } from './storage-uri.ts';

/** The bound of one directory. What is left out is not bounded. */
export interface Bound {
  /** From the root of the config repository; empty: all of it. */
  directory: string;
  repositories?: GlobList | undefined;
  clusters?: GlobList | undefined;
  namespaces?: GlobList | undefined;
  runtimes?: GlobList | undefined;
  /** Where given, GPUs come from these profiles alone, and no profile that stands in the directory counts. */
  gpuProfiles?: GlobList | undefined;
  /** GPUs, or shares of one, of all replicas together. */
  maxGpus?: number | undefined;
  maxReplicas?: number | undefined;
  /** Addresses, and folders of addresses. */
  storage?: readonly string[] | undefined;
  serviceAccounts?: GlobList | undefined;
  /** Fields of `pod` and of `container`. */
  podFields?: readonly string[] | undefined;
  /** GitOps repositories. Where given, manifests go to these alone, and none is applied. */
  gitops?: GlobList | undefined;
  /** Files and folders of GitOps repositories. Left out beside clusters or namespaces: each target's own folder. */
  paths?: readonly string[] | undefined;
  /** Whether what something else made may be taken over. Left out: it may not. */
  adopt?: boolean | undefined;
  /** What gives away the node and is allowed all the same. */
  allow: readonly NodeAccess[];
}

/** Where modelhook.yaml says nothing. */
const NO_BOUND: Bound = { directory: '', adopt: true, allow: [] };

/** @returns whether a path is in a directory, at any depth */
export const isBelow = (directory: string, path: string): boolean =>
  directory === '' || path.startsWith(`${directory}/`);

/**
 * Of the directories that contain a file the longest counts, alone.
 * @param file from the root of the config repository
 */
export const boundOf = (bounds: readonly Bound[], file: string): Bound =>
  bounds
    .filter(({ directory }) => isBelow(directory, file))
    .reduce(
      (longest, bound) => (bound.directory.length < longest.directory.length ? longest : bound),
      NO_BOUND,
    );

/** @returns whose bound it is, for a sentence */
export const whose = ({ directory }: Bound): string =>
  directory === '' ? 'policies' : `policies in ${directory}`;

/** @returns a sentence without its end: what is outside a bound, whose it is, and what that allows */
export function outside(what: string, bound: Bound, allowed: readonly (string | number)[]): string {
  const names = listNames(allowed.map((one) => JSON.stringify(one))) || 'none';
  return `${what} is outside what modelhook.yaml allows ${whose(bound)}: ${names}`;
}

/** @returns why a name is outside; null where it is not, or there is no bound */
export function nameFault(
  what: string,
  name: string,
  bound: Bound,
  allowed: GlobList | undefined,
): string | null {
  if (allowed === undefined) return null;
  const { included, excluded } = findGlobs(allowed, name);
  if (included !== null && excluded === null) return null;
  return outside(`${what} "${name}"`, bound, allowed.patterns);
}

const asFolder = (address: string): string => (address.endsWith('/') ? address : `${address}/`);
const isIn = (folder: string, address: string): boolean =>
  address === folder || address.startsWith(asFolder(folder));

/** What HTTP clients make of an address, who may take %2e for a dot before they look for "..". */
const decoded = (uri: string): string => uri.replace(/%2e/gi, '.').replace(/%2f/gi, '/');

/** @returns why an address is outside; null where it is not, or there is no bound */
export function storageFault(uri: string, bound: Bound): string | null {
  const { storage } = bound;
  if (storage === undefined) return null;
  const isWithin = storage.some((allowed) => isIn(allowed, uri));
  if (isWithin && storageUriFault(decoded(uri)) === null) return null;
  return outside(`storage ${uri}`, bound, storage);
}

/**
 * @param template an address with variables
 * @returns why it is outside whatever they stand for; null where that is not certain
 */
export function storageTemplateFault(template: string, bound: Bound): string | null {
  const head = template.slice(0, template.indexOf('${'));
  const { storage } = bound;
  const isOpen = storage?.some((allowed) => {
    const folder = asFolder(allowed);
    return head.startsWith(folder) || folder.startsWith(head);
  });
  return storage === undefined || isOpen ? null : outside(`storage ${template}`, bound, storage);
}

/** @returns why a folder of addresses holds none that a policy may have; null where it holds some */
export function storageFolderFault(allowed: string): string | null {
  if (!/^(?:[a-z][a-z0-9+.-]*:|\/)/.test(allowed))
    return `"${allowed}" is no address; write it with its scheme in lower-case letters, such as s3://${allowed.replace(/^.*:\/*/, '')}`;
  const inside = ['', 'x', 'x/x'].map((name) => (name === '' ? allowed : asFolder(allowed) + name));
  const faults = inside.map((uri) => storageUriFault(decoded(uri)));
  return faults.includes(null) ? null : (faults[0] ?? null);
}

/** Its namespace may be a template still. */
type Place = Pick<Target, 'cluster' | 'namespace'>;

/** @returns the files and folders of GitOps repositories that are allowed for a target; null: there is no bound */
function pathsFor({ cluster, namespace }: Place, bound: Bound): readonly string[] | null {
  const { paths, clusters, namespaces } = bound;
  if (paths !== undefined) return paths;
  return clusters === undefined && namespaces === undefined ? null : [`${cluster}/${namespace}/`];
}

/** @returns why a file of a GitOps repository is outside; null where it is not, or there is no bound */
export function pathFault(path: string, target: Place, bound: Bound): string | null {
  const allowed = pathsFor(target, bound);
  if (allowed === null || allowed.some((folder) => isIn(folder, path))) return null;
  return outside(`path ${path}`, bound, allowed);
}

/**
 * @param template the path of a policy, with variables
 * @param known the path up to the first variable whose value only an event brings
 * @returns why it is outside whatever they stand for; null where that is not certain
 */
export function pathTemplateFault(
  template: string,
  known: { text: string; isWhole: boolean },
  target: Place,
  bound: Bound,
): string | null {
  const allowed = pathsFor(target, bound);
  const isOpen = allowed?.some((each) => {
    // What a template makes of a namespace need not start as the template does.
    const folder = each.includes('${') ? `${target.cluster}/` : each;
    if (known.isWhole) return isIn(folder, known.text);
    return known.text.startsWith(asFolder(folder)) || asFolder(folder).startsWith(known.text);
  });
  return allowed === null || isOpen ? null : outside(`path ${template}`, bound, allowed);
}

/** What is known only when a policy is planned; each may be left out. */
interface Chosen {
  namespace?: string;
  runtime?: string;
  storageUri?: string;
  /** A file of a GitOps repository, and the target it is for. */
  file?: { path: string; target: Target };
}

/**
 * Checks what templates, the model card and the cluster have made of a policy.
 * @param bound the policy's
 * @throws StalledError where something is outside it
 */
export function requireWithin(bound: Bound | null, { namespace, runtime, storageUri, file }: Chosen): void {
  if (bound === null) return;
  const fault =
    (namespace === undefined ? null : nameFault('namespace', namespace, bound, bound.namespaces)) ??
    (runtime === undefined ? null : nameFault('runtime', runtime, bound, bound.runtimes)) ??
    (storageUri === undefined ? null : storageFault(storageUri, bound)) ??
    (file === undefined ? null : pathFault(file.path, file.target, bound));
  if (fault === null) return;
  throw new StalledError(
    fault,
    'choose another in the policy, or have policies.bounds in modelhook.yaml widened',
  );
}
