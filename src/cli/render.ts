/** `modelhook render`: the manifests a push would lead to, without a controller, a network or a cluster. */
import { Command, Option } from 'commander';
import { CRD_HELP } from './kserve-options.ts';
import { type ManifestOptions, makeManifests, withManifestOptions } from './manifests.ts';
import { describeOthers } from './plan-text.ts';
import { oneLine, printable } from './printable.ts';

interface RenderOptions extends ManifestOptions {
  output: 'yaml' | 'json';
}

/** The subcommand `render`, to be added to the program. */
export const renderCommand = (): Command =>
  withManifestOptions(
    new Command('render').description(
      'Print the InferenceService that each matching policy makes of a tag or branch. Works offline.',
    ),
  )
    .addOption(
      new Option('--output <format>', 'how to write manifests').choices(['yaml', 'json']).default('yaml'),
    )
    .addHelpText(
      'after',
      `
Manifests go to standard output, one for each policy that matches; warnings to standard error. To see why policies
match or not, and what was chosen and from where, use modelhook plan, which takes the same options.
${CRD_HELP}

Exit codes: 0 rendered, 1 policies have faults, none matches or one cannot be rendered, 2 wrong usage or a file that
cannot be used.

Example:
  modelhook render --policies policies/ --repository gitlab:ml/vision/iris --ref refs/tags/v1.0.0 \\
    --sha 8d3ba2f4c1a97e60b5d8f2c3a4e5061728394a5b --model-card README.md`,
    )
    .action(render);

async function render(options: RenderOptions): Promise<void> {
  const { repository, ref, output } = options;
  const { matching, others } = await makeManifests(options);
  if (matching.length === 0) {
    const reasons = describeOthers(others, repository, false).map((line) => `  ${line}`);
    throw new Error([`no policy matches ${ref} of ${repository}`, ...reasons].join('\n'));
  }
  const manifests: string[] = [];
  const failures: string[] = [];
  for (const { policy, plan, ...outcome } of matching) {
    const tell = (text: string) => process.stderr.write(printable(`policy ${policy.name}: ${text}\n`));
    for (const warning of plan?.warnings ?? []) tell(`warning: ${warning}`);
    if (policy.suspend) tell('note: suspended, so its rollouts wait');
    if (outcome.error !== null) failures.push(oneLine(`policy ${policy.name}: ${outcome.error.message}`));
    else
      manifests.push(output === 'yaml' ? outcome.manifest : `${JSON.stringify(outcome.object, null, 2)}\n`);
  }
  process.stdout.write(manifests.join(output === 'yaml' ? '---\n' : ''));
  if (failures.length > 0) throw new Error(failures.join('\n'));
}
