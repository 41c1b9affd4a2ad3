/** What a revision of the config repository is worth, and what it would change. Pure; it runs in a thread of its own. */
import type { Deployed, KnownRef } from '../core/deployed.ts';
import type { Fault } from '../core/errors.ts';
import type { KServe } from '../core/kserve.ts';
import { cut } from '../core/markdown.ts';
import { planChanges } from '../core/policy-changes.ts';
import type { PolicyFile } from '../core/policy-documents.ts';
import { loadPolicies } from '../core/policy-files.ts';
import type { KnownNames } from '../core/policy-references.ts';
import { shortSha } from '../core/ref-event.ts';
import { boundedDiff } from '../core/review-diff.ts';
import type { Examination } from '../core/review-text.ts';
import { unifiedDiff } from '../git/unified-diff.ts';

/** One state of the files. */
export interface Revision {
  /** The commit. */
  revision: string;
  files: readonly PolicyFile[];
}

export interface ExaminationInput {
  /** What is in force; null: nothing is, or it is not at hand, and nothing is compared. */
  before: Revision | null;
  /** Why it is not at hand, in a few words of ours. */
  uncompared?: string | undefined;
  after: Revision;
  /** null: modelhook.yaml is not at hand, and names of it are not checked */
  known: KnownNames | null;
  /** Of clusters that `known` says nothing of. */
  kserve?: KServe | undefined;
  deployed: readonly Deployed[];
  refs: readonly KnownRef[];
}

/**
 * @param diff makes the diffs of manifests
 * @returns every fault of the files; or, where there is none, how many policies there are, and what they would change
 */
export function examine(input: ExaminationInput, diff = unifiedDiff): Examination {
  const { before, after, known, kserve, deployed, refs } = input;
  const load = ({ files, revision }: Revision) =>
    loadPolicies(files, revision, { known: known ?? undefined, kserve });
  const { policies, faults, warnings } = load(after);
  if (policies === null) return { kind: 'faults', faults };
  // What is in force was good once; under another version of modelhook or of modelhook.yaml it may not be.
  const present = before && load(before).policies;
  const structures = new Map(known?.clusters.map((cluster) => [cluster.name, cluster.kserve.structure]));
  const changes = present && planChanges(present, policies, deployed, refs, { diff, structures });
  const uncompared =
    before && !present ? `not compared, as ${shortSha(before.revision)} has faults today` : input.uncompared;
  return {
    kind: 'good',
    policies: policies.policies.length,
    warnings,
    changes,
    ...(changes === null && uncompared !== undefined && { uncompared }),
  };
}

/** The same with no more of diffs than a report has room for. */
export const examineForReport = (input: ExaminationInput): Examination =>
  examine(input, boundedDiff(unifiedDiff));

const MOST_FAULTS = 1000;

/** @returns as many faults as anybody reads, and how many more there are */
export function fewerFaults(faults: readonly Fault[]): Fault[] {
  const first = faults.slice(0, MOST_FAULTS).map((fault) => ({ ...fault, message: cut(fault.message) }));
  const more = faults.length - first.length;
  if (more === 0) return first;
  return [
    ...first,
    { file: '.', line: 1, column: 1, message: `and ${more.toLocaleString('en')} more faults` },
  ];
}
