/** `policies` of modelhook.yaml: where the policies are, and what those of each directory may use. */
import { z } from 'zod';
import { type Bound, isBelow, storageFolderFault } from './core/bound.ts';
import { compileGlobs } from './core/glob.ts';
import { unsafePath } from './core/names.ts';
import { listNames, suggestion } from './core/nearest.ts';
import { NODE_ACCESS } from './core/node-access.ts';
import { mergedFields } from './core/policy-structure.ts';
import { unsafeName } from './core/ref-event.ts';
import type { Structure } from './core/structure.ts';

/** A folder of the config repository, from its root; empty: the root itself. */
const directory = z.string().transform((text, context) => {
  const path = text.replace(/^(?:\.?\/)+|\/+$/g, '').replace(/^\.$/, '');
  const fault = path === '' ? null : unsafeName('the directory', path);
  if (fault) context.addIssue({ code: 'custom', message: fault });
  return path;
});

const NOTHING = 'allows nothing; leave it out to allow everything';
const patterns = z.array(
  z
    .string()
    .regex(/^!?[^!]/, 'is no pattern')
    .max(256, 'a pattern has at most 256 characters'),
);
/** Of what may be left out of a policy: with an empty list it has to be. */
const optionalNames = patterns.transform(compileGlobs);
const names = optionalNames.refine(({ include }) => include.length > 0, NOTHING);
const texts = z.array(z.string().min(1));

const storageFolder = z.string().superRefine((text, context) => {
  const fault = storageFolderFault(text);
  if (fault !== null) context.addIssue({ code: 'custom', message: fault });
});
const gitopsFolder = z.string().superRefine((text, context) => {
  const fault = unsafePath(text.replace(/\/$/, ''));
  if (fault !== null) context.addIssue({ code: 'custom', message: `"${text}" ${fault}` });
});

function boundSchema() {
  return z.strictObject({
    directory,
    repositories: names.optional(),
    clusters: names.optional(),
    namespaces: names.optional(),
    runtimes: names.optional(),
    gpuProfiles: optionalNames.optional(),
    maxGpus: z.int().min(0).optional(),
    maxReplicas: z.int().min(1).optional(),
    storage: z.array(storageFolder).min(1, NOTHING).optional(),
    serviceAccounts: optionalNames.optional(),
    podFields: texts.optional(),
    gitops: optionalNames.optional(),
    paths: z.array(gitopsFolder).min(1, NOTHING).optional(),
    adopt: z.boolean().default(false),
    allow: z
      .array(z.enum(NODE_ACCESS, { error: `gives away no node; what does is ${NODE_ACCESS.join(', ')}` }))
      .default([]),
  });
}

/** @returns the schema of `policies` */
export const policiesSchema = ({
  repository,
  branch,
}: {
  repository: z.ZodType<string>;
  branch: z.ZodType<string>;
}) =>
  z
    .strictObject({
      repository,
      branch: branch.default('main'),
      directory: directory.default('policies'),
      bounds: z.array(boundSchema()).default([]),
    })
    .superRefine(({ directory: top, bounds }, context) => {
      for (const [at, { directory: own }] of bounds.entries()) {
        const fault = directoryFault(own, top, bounds.slice(0, at));
        if (fault !== null)
          context.addIssue({ code: 'custom', path: ['bounds', at, 'directory'], message: fault });
      }
    });

function directoryFault(own: string, top: string, before: readonly Bound[]): string | null {
  if (before.some((bound) => bound.directory === own))
    return `"${own}" has a bound already; keep one of the two`;
  const isRead = own === top || isBelow(own, top) || isBelow(top, own);
  return isRead ? null : `"${own}" is not in policies.directory, "${top}", so no policy is in it`;
}

/** What modelhook.yaml has of what bounds name. */
interface Known {
  forges: readonly string[];
  /** Empty: policies may name any. */
  clusters: readonly string[];
  gitops: readonly string[];
  /** What an InferenceService may hold: KServe's own and those of the clusters. */
  structures: readonly Structure[];
}

/** Names in bounds that nothing has: such a bound would allow nothing, or not what was meant. */
export function danglingBounds(
  bounds: readonly Bound[],
  { forges, clusters, gitops, structures }: Known,
): { path: PropertyKey[]; message: string }[] {
  const fields = structures.flatMap(mergedFields);
  return bounds.flatMap((bound, at) => {
    const issuesOf = (
      key: 'repositories' | 'clusters' | 'gitops' | 'podFields',
      texts: readonly string[] | undefined,
      faultOf: (text: string) => string | null,
    ) =>
      (texts ?? []).flatMap((text, index) => {
        const message = faultOf(text);
        return message === null ? [] : [{ path: ['policies', 'bounds', at, key, index], message }];
      });
    return [
      ...issuesOf('repositories', bound.repositories?.patterns, (pattern) => {
        const forge = /^!?([^*:/]+):/.exec(pattern)?.[1];
        return forge === undefined ? null : unknownName('forge', forge, forges);
      }),
      ...issuesOf('clusters', bound.clusters?.patterns, (pattern) =>
        clusters.length === 0 || isPattern(pattern) ? null : unknownName('cluster', pattern, clusters),
      ),
      ...issuesOf('gitops', bound.gitops?.patterns, (pattern) =>
        isPattern(pattern) ? null : unknownName('GitOps repository', pattern, gitops, 'gitops'),
      ),
      ...issuesOf('podFields', bound.podFields, (field) =>
        fields.includes(field)
          ? null
          : `no pod or container of an InferenceService has the field "${field}"${suggestion(field, fields) || '; name one of KServe, or give the CRD that has it in clusters.<name>.crd'}`,
      ),
    ];
  });
}

const isPattern = (text: string): boolean => /[!*]/.test(text);

const unknownName = (
  what: string,
  name: string,
  names: readonly string[],
  section = `${what}s`,
): string | null =>
  names.includes(name)
    ? null
    : `names the ${what} "${name}", but ${section} has only ${listNames(names) || 'none'}`;
