/** What a delivery would make of what there is, for commands that show it. Nothing is changed. */
import { ApplyConflictError, type ClusterApplier } from '../cluster/cluster.ts';
import { StalledError } from '../core/errors.ts';
import { parseManifest } from '../core/inference-service.ts';
import type { JsonObject } from '../core/json.ts';
import type { Mirror } from '../git/mirror.ts';
import { conflictOf, isSame, liveOccupant } from './apply.ts';
import { type Claim, type Judgement, judgeDelivery, judgeOccupant, refuseUpdate } from './ownership.ts';
import { readTree } from './tree.ts';

/** What there is beside what a delivery would make of it. */
export interface Sides<Side> {
  /** null: there is nothing. */
  now: Side | null;
  next: Side;
}

/** Both throw StalledError where the delivery would be refused, with its words. */
export interface Comparison {
  /** The file on the branch of a GitOps repository. */
  inRepository(gitops: string, claim: Claim): Promise<Sides<string>>;
  /** The InferenceService in its cluster; what it would be is said by the API server and its webhooks. */
  inCluster(claim: Claim): Promise<Sides<JsonObject>>;
}

/** A branch of a GitOps repository. */
export interface ComparedBranch {
  mirror: Mirror;
  branch: string;
}

export interface ComparisonOptions {
  /** By the GitOps repository's key in modelhook.yaml. */
  branches: ReadonlyMap<string, ComparedBranch>;
  /** By the cluster's key in modelhook.yaml. */
  appliers: ReadonlyMap<string, Pick<ClusterApplier, 'get' | 'apply'>>;
}

/** A branch is fetched once, when it is first asked for. */
export function createComparison({ branches, appliers }: ComparisonOptions): Comparison {
  const heads = new Map<string, Promise<string | null>>();
  const headOf = (name: string, { mirror, branch }: ComparedBranch): Promise<string | null> => {
    const fetching = heads.get(name) ?? mirror.fetchBranch(branch);
    heads.set(name, fetching);
    return fetching;
  };
  return {
    async inRepository(name, claim) {
      const compared = branches.get(name);
      if (!compared)
        throw new StalledError(
          `the GitOps repository "${name}" is not configured`,
          'add it to gitops in modelhook.yaml',
        );
      const head = await headOf(name, compared);
      const entry = (await readTree(compared.mirror, head, [claim.path])).at(claim.path);
      const next = manifestOf(claim, judgeDelivery(claim, entry, name));
      return { now: entry.kind === 'file' ? entry.text : null, next };
    },

    async inCluster(claim) {
      const { target, adopt, selfHeal = false, updateExisting } = claim;
      const applier = appliers.get(target.cluster);
      if (!applier)
        throw new StalledError(
          `modelhook.yaml gives no access to cluster "${target.cluster}"`,
          'add its kubeconfig to clusters there',
        );
      const live = await applier.get(target);
      const occupant = live && liveOccupant(target.cluster, target, live);
      const manifest = occupant ? manifestOf(claim, judgeOccupant(claim, occupant)) : claim.manifest;
      const force = live !== null && (adopt || selfHeal || !updateExisting);
      const next = await applier
        .apply(parseManifest(manifest), { dryRun: true, force })
        .catch((error: unknown) => {
          throw occupant && error instanceof ApplyConflictError ? conflictOf(claim, occupant, error) : error;
        });
      const refusal = live && occupant && !isSame(live, next) ? refuseUpdate(claim, occupant) : null;
      if (refusal) manifestOf(claim, refusal);
      return { now: live, next };
    },
  };
}

/** @returns what a delivery would leave there @throws StalledError where it is refused */
function manifestOf(claim: Claim, judgement: Judgement): string {
  if (judgement.kind === 'refuse') throw judgement.error;
  const { manifest = null } = judgement.kind === 'write' || judgement.kind === 'keep' ? judgement : {};
  return manifest ?? claim.manifest;
}
