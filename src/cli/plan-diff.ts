/** What `modelhook plan --diff` compares: manifests with what is in the GitOps repository or in the cluster. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Comparison, Sides } from '../compose.ts';
import { loadConfig } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { type JsonObject, sortKeys, valueAt } from '../core/json.ts';
import { formatTarget } from '../core/rollout.ts';
import { toYaml } from '../core/yaml-text.ts';
import { unifiedDiff } from '../git/unified-diff.ts';
import { createLog } from '../telemetry/log.ts';
import type { Matching } from './manifests.ts';
import { oneLine } from './printable.ts';
import { UsageError } from './usage-error.ts';

/** A policy's manifest beside what there is. Exactly one of `diff` and `error` is there. */
export interface Difference {
  policy: string;
  /** What it is compared with. */
  with: string;
  /** A unified diff; empty: no change. */
  diff: string | null;
  error: string | null;
}

type Planned = Extract<Matching, { error: null }>;

/**
 * Compares every manifest with what there is now, and changes nothing.
 * @throws UsageError without modelhook.yaml, which says where that is
 */
export async function compareAll(
  matching: readonly Matching[],
  config: string | undefined,
): Promise<Difference[]> {
  if (config === undefined)
    throw new UsageError('--diff looks where modelhook.yaml says; give that with --config');
  const folder = mkdtempSync(join(tmpdir(), 'modelhook-diff-'));
  const { composeComparison } = await import('../compose.ts');
  // A cache of its own: the controller may be at work in the other.
  const comparison = composeComparison(
    { ...loadConfig(config), cache: join(folder, 'cache') },
    createLog('error'),
  );
  try {
    const differences: Difference[] = [];
    for (const each of matching) if (each.error === null) differences.push(await compare(each, comparison));
    return differences;
  } finally {
    await comparison.end();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function compare(planned: Planned, comparison: Comparison): Promise<Difference> {
  const { policy, plan, manifest } = planned;
  const { gitops, path, target } = plan;
  const place = gitops === null ? formatTarget(target) : `${path} in ${gitops}`;
  const said = { policy: policy.name, with: place };
  // Which names a repository had before is in the controller's store alone.
  const claim = { ...plan, manifest, formerNames: [] };
  try {
    const sides =
      gitops === null
        ? textsOf(await comparison.inCluster(claim))
        : await comparison.inRepository(gitops, claim);
    return { ...said, diff: differenceOf(sides, place), error: null };
  } catch (error) {
    return { ...said, diff: null, error: messageOf(error) };
  }
}

const textsOf = ({ now, next }: Sides<JsonObject>): Sides<string> => ({
  now: now && textOf(now),
  next: textOf(next),
});

/** Without what the API server keeps about an object, and without its status. */
function textOf(object: JsonObject): string {
  const kept = ['name', 'namespace', 'labels', 'annotations'].flatMap((key) => {
    const value = valueAt(object, ['metadata', key]);
    return value === undefined ? [] : [[key, sortKeys(value)]];
  });
  const { apiVersion = null, kind = null, spec = null } = object;
  return toYaml({ apiVersion, kind, metadata: Object.fromEntries(kept), spec: sortKeys(spec) });
}

/** @returns a unified diff with the place instead of file names; empty where they are alike */
function differenceOf({ now, next }: Sides<string>, place: string): string {
  const name = oneLine(place);
  const before = now === null ? null : { name: `${name} (now)`, text: now };
  return unifiedDiff(before, { name: `${name} (planned)`, text: next });
}
