/**
 * `modelhook plan`: why each policy deploys a tag or branch or does not, and what it would deploy; or what a change of the
 * policies would.
 */
import { Command, Option } from 'commander';
import type { JsonObject } from '../core/json.ts';
import { toYaml } from '../core/yaml-text.ts';
import { run } from './controller-api.ts';
import { CRD_HELP } from './kserve-options.ts';
import {
  type Answer,
  type ManifestOptions,
  type Matching,
  makeManifests,
  withManifestOptions,
} from './manifests.ts';
import { compareAll, type Difference } from './plan-diff.ts';
import {
  planRevisions,
  REVISIONS_HELP,
  type RevisionOptions,
  withRevisionOptions,
} from './plan-revisions.ts';
import { formatDifferences, formatPlan } from './plan-text.ts';

interface PlanOptions extends ManifestOptions {
  all?: true;
  diff?: true;
  output: 'text' | 'json' | 'yaml';
}

/** The subcommand `plan`, to be added to the program. */
export const planCommand = (): Command =>
  withRevisionOptions(
    withManifestOptions(
      new Command('plan').description(
        'Explain why each policy deploys a tag or branch or does not, what is chosen and from where; or what a change of the policies would deploy anew. Works offline.',
      ),
    ),
  )
    .usage(
      `--policies <dir> --repository <id> --ref <ref> --sha <sha> [options]
       modelhook plan --from <rev> --to <rev> [options]`,
    )
    .option(
      '--diff',
      'show what would change instead: in the file of the GitOps repository, or in the cluster where it is applied',
    )
    .option('--all', 'list every policy that does not match, however many there are')
    .addOption(
      new Option('--output <format>', 'how to write the result')
        .choices(['text', 'json', 'yaml'])
        .default('text'),
    )
    .addHelpText(
      'after',
      `
The text is a stream of YAML: a document for each policy that matches, the same as of modelhook render, and everything
else in comments. The policies that do not match come last, first those whose patterns include the repository. Where
there are more than 20 of these, or more than 20 others, the rest is counted; --all lists them too.
${CRD_HELP}

With --output json or yaml it is one document, and nothing is left out:
  event: { repository, projectId, ref, sha }
  matching:    by the names of the policies
    - { policy, source: { file, line, column }, reason, suspended, target: { cluster, namespace, name },
        delivery: { gitops, path } or { apply: true }, decisions: [], warnings: [], manifest }
    - { policy, source, reason, suspended, error: { reason, fix } }    what cannot be planned
  other:
    - { policy, source, reason }
A manifest that KServe would refuse has all of the first but the manifest, and its error.

With --diff, which needs --config and its secrets, each manifest is compared with the file on the branch of its GitOps
repository; where it is applied, with the live object, by what a server-side dry run would make of it. Nothing is
changed. The text is a unified diff, or "no change"; with --output json or yaml, matching gets diff: { with, diff, error }.
What the delivery would refuse is an error. Only the controller knows which names a repository had before it was renamed:
what it deployed by an old one counts here as another repository's, and the controller would update it.

${REVISIONS_HELP}

Exit codes: 0 every policy that matches can be deployed, 1 policies have faults, none matches or one cannot be planned,
2 wrong usage or a file that cannot be used. With --from and --to: 0 it can be merged, 1 the policies of --to have faults,
or take or break what is deployed, 2 wrong usage, a revision that is not there, or a controller that refuses.

Examples:
  modelhook plan --policies policies/ --repository gitlab:ml/vision/iris --ref refs/tags/v1.0.0 \\
    --sha 8d3ba2f4c1a97e60b5d8f2c3a4e5061728394a5b --model-card README.md
  modelhook plan --from origin/main --to HEAD
  modelhook plan --from origin/main --to HEAD --config modelhook.yaml --server https://modelhook.example.com`,
    )
    .action((options: PlanOptions | RevisionOptions) =>
      'from' in options ? run(() => planRevisions(options)) : plan(options),
    );

async function plan(options: PlanOptions): Promise<void> {
  const { repository, ref, output, all = false } = options;
  const answer = await makeManifests(options);
  const differences = options.diff ? await compareAll(answer.matching, options.config) : null;
  if (output === 'text' && differences) process.stdout.write(formatDifferences(differences));
  else if (output === 'text') process.stdout.write(formatPlan(answer, options, all));
  else {
    const data = dataOf(answer, options, differences);
    process.stdout.write(output === 'yaml' ? toYaml(data) : `${JSON.stringify(data, null, 2)}\n`);
  }
  if (answer.matching.length === 0) throw new Error(`no policy matches ${ref} of ${repository}`);
  const failures = answer.matching.flatMap(({ policy, error }) =>
    error === null ? [] : [`policy ${policy.name}: ${error.message}`],
  );
  for (const { policy, with: place, error } of differences ?? [])
    if (error !== null) failures.push(`policy ${policy}: cannot be compared with ${place}: ${error}`);
  if (failures.length > 0) throw new Error(failures.join('\n'));
}

const dataOf = (
  { matching, others }: Answer,
  { repository, projectId, ref, sha }: ManifestOptions,
  differences: Difference[] | null,
): JsonObject => ({
  event: { repository, projectId: projectId ?? null, ref, sha },
  matching: matching.map((each) => ({ ...matchingData(each), ...differenceOf(each, differences) })),
  other: others.map(({ policy, reason }) => ({ policy: policy.name, source: policy.source, reason })),
});

function differenceOf({ policy: { name } }: Matching, differences: Difference[] | null): JsonObject {
  const found = differences?.find(({ policy }) => policy === name);
  return found ? { diff: { with: found.with, diff: found.diff, error: found.error } } : {};
}

function matchingData({ policy, reason, plan, ...outcome }: Matching): JsonObject {
  return {
    policy: policy.name,
    source: policy.source,
    reason,
    suspended: policy.suspend,
    ...(plan === null
      ? {}
      : {
          target: { ...plan.target },
          delivery: plan.gitops === null ? { apply: true } : { gitops: plan.gitops, path: plan.path },
          decisions: plan.decisions,
          warnings: plan.warnings,
        }),
    ...(outcome.error === null
      ? { manifest: outcome.object }
      : { error: { reason: outcome.error.reason, fix: outcome.error.fix } }),
  };
}
