/** `modelhook render`: the manifests a push would lead to, without a controller, a network or a cluster. */
import { readFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { formatFault, messageOf, StalledError } from '../core/errors.ts';
import { renderInferenceService } from '../core/inference-service.ts';
import { explainMatch, matchPolicies } from '../core/match.ts';
import { parseModelCard } from '../core/model-card.ts';
import { suggestion } from '../core/nearest.ts';
import { type ModelCardInput, makePlan } from '../core/plan.ts';
import type { Policy, PolicySet } from '../core/policy.ts';
import { isFullSha, parseRef, parseRepositoryId } from '../core/ref-event.ts';
import { DirectoryError, loadPolicyDirectory } from './policy-directory.ts';

interface RenderOptions {
  policies: string;
  policy?: string;
  repository: string;
  ref: string;
  sha: string;
  modelCard?: string;
  projectId?: string;
  kserve?: string;
  output: 'yaml' | 'json';
  config?: string;
}

/** Ends the command with a sentence. 1: the thing asked about is bad; 2: wrong usage. */
class RenderFailure extends Error {
  override readonly name = 'RenderFailure';
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The subcommand `render`, to be added to the program. */
export const renderCommand = (): Command =>
  new Command('render')
    .description(
      'Print the InferenceService that each matching policy makes of a tag or branch. Pure and offline.',
    )
    .requiredOption('--policies <dir>', 'the directory with the policies')
    .option('--policy <name>', 'only this policy, instead of every one that matches')
    .requiredOption('--repository <id>', 'the model repository, such as gitlab:ml/vision/iris', repositoryOf)
    .requiredOption('--ref <ref>', 'the full name, such as refs/tags/v1.0.0 or refs/heads/main', refOf)
    .requiredOption('--sha <sha>', 'the commit, 40 or 64 hexadecimal digits', shaOf)
    .option('--model-card <file>', 'README.md of the model at that commit')
    .option('--project-id <n>', "the forge's number of the repository")
    .option(
      '--kserve <version>',
      'the version of KServe to render for, such as 0.15 (default: 0.20)',
      kserveOf,
    )
    .addOption(
      new Option('--output <format>', 'how to write manifests').choices(['yaml', 'json']).default('yaml'),
    )
    .option('-c, --config <file>', 'modelhook.yaml, to check names of clusters and GitOps repositories too')
    .addHelpText(
      'after',
      `
Exit codes: 0 rendered, 1 no policy matches or one cannot be rendered, 2 wrong usage.

Example:
  modelhook render --policies policies/ --repository gitlab:ml/vision/iris --ref refs/tags/v1.0.0 \\
    --sha 8d3ba2f4c1a97e60b5d8f2c3a4e5061728394a5b --model-card README.md`,
    )
    .action(async (options: RenderOptions) => {
      try {
        await render(options);
      } catch (error) {
        if (!(error instanceof RenderFailure)) throw error;
        process.stderr.write(`${error.message}\n`);
        process.exitCode = error.exitCode;
      }
    });

function repositoryOf(text: string): string {
  if (parseRepositoryId(text) !== null) return text;
  throw new InvalidArgumentError('It takes <forge name>:<path>, such as gitlab:ml/vision/iris.');
}

function refOf(text: string): string {
  if (parseRef(text)?.name) return text;
  throw new InvalidArgumentError('It takes a full name, such as refs/tags/v1.0.0 or refs/heads/main.');
}

function shaOf(text: string): string {
  if (isFullSha(text)) return text;
  throw new InvalidArgumentError('It takes a whole commit id: 40 or 64 hexadecimal digits.');
}

function kserveOf(text: string): string {
  if (/^v?\d{1,4}\.\d{1,4}(?:[.+-].*)?$/.test(text)) return text;
  throw new InvalidArgumentError('It takes a version, such as 0.15 or v0.20.1.');
}

async function render(options: RenderOptions): Promise<void> {
  const policies = await load(options);
  const modelCard = await readModelCard(options.modelCard);
  const failures: string[] = [];
  const manifests: string[] = [];
  for (const policy of choose(policies, options)) {
    try {
      manifests.push(renderOne(policy, policies, modelCard, options));
    } catch (error) {
      if (!(error instanceof StalledError)) throw error;
      failures.push(`policy ${policy.name}: ${error.message}`);
    }
  }
  process.stdout.write(manifests.join(options.output === 'yaml' ? '---\n' : ''));
  if (failures.length > 0) throw new RenderFailure(1, failures.join('\n'));
}

async function load({ policies: directory, config }: RenderOptions): Promise<PolicySet> {
  try {
    const { policies, faults } = await loadPolicyDirectory(directory, config);
    if (policies !== null) return policies;
    throw new RenderFailure(1, faults.map(formatFault).join('\n'));
  } catch (error) {
    throw error instanceof DirectoryError ? new RenderFailure(2, error.message) : error;
  }
}

async function readModelCard(file: string | undefined): Promise<ModelCardInput> {
  if (file === undefined)
    return {
      kind: 'unavailable',
      reason: new StalledError('there is no model card', 'give one with --model-card'),
    };
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new RenderFailure(2, `the model card ${file} cannot be read: ${messageOf(error)}`);
  }
  try {
    return { kind: 'card', card: parseModelCard(bytes) };
  } catch (error) {
    // Only policies that need it fail, each with this reason.
    if (error instanceof StalledError) return { kind: 'unavailable', reason: error };
    throw error;
  }
}

/** @returns the policies to render: the one that was named, or all that match */
function choose(set: PolicySet, { policy: name, repository, ref }: RenderOptions): Policy[] {
  const event = { repository, ref };
  const asked = name === undefined ? set.policies : set.policies.filter((policy) => policy.name === name);
  if (name !== undefined && asked.length === 0) {
    const names = set.policies.map((policy) => policy.name);
    throw new RenderFailure(1, `there is no policy "${name}"${suggestion(name, names)}`);
  }
  const matching = matchPolicies({ ...set, policies: asked }, event);
  if (matching.length > 0) return matching;
  const reasons = asked.map((policy) => `  ${policy.name}: ${explainMatch(policy, event).reason}`);
  throw new RenderFailure(1, [`no policy matches ${ref} of ${repository}`, ...reasons].join('\n'));
}

function renderOne(
  policy: Policy,
  policies: PolicySet,
  modelCard: ModelCardInput,
  { repository, ref, sha, projectId, kserve, output }: RenderOptions,
): string {
  const plan = makePlan({
    policy,
    policies,
    repository,
    projectId: projectId ?? null,
    ref,
    sha,
    modelCard,
    kserveVersion: kserve,
  });
  for (const warning of plan.warnings) process.stderr.write(`policy ${policy.name}: warning: ${warning}\n`);
  if (policy.suspend) process.stderr.write(`policy ${policy.name}: note: suspended, so its rollouts wait\n`);
  const { manifest, object } = renderInferenceService(plan);
  return output === 'yaml' ? manifest : `${JSON.stringify(object, null, 2)}\n`;
}
