/** What is there already when policies change: targets with what they were planned from, and refs. */
import type { DeploymentMode, KServe } from './kserve.ts';
import type { ModelCard } from './model-card.ts';
import type { PlanSummary, Target } from './rollout.ts';
import type { RuntimeCatalogue } from './runtime-catalogue.ts';

/**
 * What a rollout was planned from, apart from its policy. It is stored with it: two revisions of the policies are
 * rendered from the same stored inputs (specification section 8).
 */
export interface StoredInputs {
  modelCard: ModelCard | { unavailable: { reason: string; fix: string } };
  kserve: Pick<KServe, 'version'>;
  /** Those of the target's cluster; null where they could not be read. */
  runtimes: RuntimeCatalogue | null;
  /** Whether the target's cluster had Knative Serving; null where that was not known. */
  knative: boolean | null;
  projectId: string | null;
}

/** The newest rollout of a target that is delivered, or planned and about to be. */
export interface Deployed {
  rolloutId: string;
  repository: string;
  ref: string;
  sha: string;
  policy: string;
  target: Target;
  /** Its file: `gitops` null: applied to the cluster. Null or left out where that is not known. */
  delivery?: Pick<PlanSummary, 'gitops' | 'path'> | null;
  /**
   * What is there, YAML, also where other policies have come into force since then without a rollout. Null: nothing is, for
   * the first rollout of the target waits. Left out where that is not known: it is what the policies in force render.
   */
  manifest?: string | null;
  /**
   * Whether the rollout waits, as one of a suspended policy does, and is planned anew before it is delivered. What is there
   * is then of the rollout before it. Left out: it does not.
   */
  waits?: boolean;
  inputs: StoredInputs;
  /** The mode its service exists in; null or left out where that is not known: the one the policy in force renders. */
  mode?: DeploymentMode | null;
}

/** A ref that is known, deployed or not. */
export interface KnownRef {
  repository: string;
  ref: string;
  sha: string;
}

/** Of many, the first. */
export interface Counted<Item> {
  /** How many there are. */
  total: number;
  items: Item[];
}

/** @param most of how many the items are kept */
export function count<Item>(counted: Counted<Item>, item: Item, most: number): void {
  counted.total += 1;
  if (counted.items.length < most) counted.items.push(item);
}

/** @returns every ref once, also those that only a rollout tells of, by repository and name */
export function allRefs(deployed: readonly Deployed[], known: readonly KnownRef[]): KnownRef[] {
  const refs = new Map<string, KnownRef>();
  for (const { repository, ref, sha } of [...deployed, ...known])
    refs.set(refKey({ repository, ref }), { repository, ref, sha });
  return [...refs].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, ref]) => ref);
}

/** No name of either has a space in it. */
export const refKey = ({ repository, ref }: Pick<KnownRef, 'repository' | 'ref'>): string =>
  `${repository} ${ref}`;
