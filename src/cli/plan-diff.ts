/** What `modelhook plan --diff` compares: manifests with what is in the GitOps repository or in the cluster. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Comparison, Sides } from '../compose.ts';
import { loadConfig } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { type JsonObject, sortKeys, valueAt } from '../core/json.ts';
import { formatTarget } from '../core/rollout.ts';
import { toYaml } from '../core/yaml-text.ts';
import { GitError, git } from '../git/git.ts';
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
    for (const each of matching)
      if (each.error === null) differences.push(await compare(each, comparison, folder));
    return differences;
  } finally {
    await comparison.end();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function compare(planned: Planned, comparison: Comparison, folder: string): Promise<Difference> {
  const { policy, plan, manifest } = planned;
  const { gitops, path, target } = plan;
  const place = gitops === null ? formatTarget(target) : `${path} in ${gitops}`;
  const said = { policy: policy.name, with: place };
  // Which names a repository had before is in the controller's store alone.
  const claim = { ...plan, manifest, formerNames: [] };
  try {
    const { now, next } =
      gitops === null
        ? textsOf(await comparison.inCluster(claim))
        : await comparison.inRepository(gitops, claim);
    return { ...said, diff: await unifiedDiff(now, next, place, folder), error: null };
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

/** @returns the text that git makes of two, with the place instead of file names; empty where they are alike */
async function unifiedDiff(now: string | null, then: string, place: string, folder: string): Promise<string> {
  if (now === then) return '';
  const [before, after] = ['now', 'then'].map((name) => join(folder, name)) as [string, string];
  writeFileSync(before, now ?? '');
  writeFileSync(after, then);
  const options = ['--no-index', '--no-color', '--no-ext-diff', '--no-textconv', '--unified=3'];
  const output = await git(['diff', ...options, '--', before, after]).then(
    (same) => same.toString(),
    (error: unknown) => {
      if (error instanceof GitError && error.code === 1) return error.stdout;
      throw error;
    },
  );
  const hunks = output.slice(output.indexOf('\n@@') + 1);
  const name = oneLine(place);
  return `--- ${now === null ? '/dev/null' : `${name} (now)`}\n+++ ${name} (planned)\n${hunks}`;
}
