/** What `render` and `plan` have in common: their options, and from these to the policies that match and their manifests. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { formatFault, messageOf, StalledError } from '../core/errors.ts';
import { findGlobs } from '../core/glob.ts';
import { renderInferenceService } from '../core/inference-service.ts';
import type { JsonObject } from '../core/json.ts';
import { isKServeVersion } from '../core/kserve.ts';
import { explainMatch } from '../core/match.ts';
import { parseModelCard } from '../core/model-card.ts';
import { suggestion } from '../core/nearest.ts';
import { type ModelCardInput, makePlan, type Plan, type PlanInput } from '../core/plan.ts';
import type { Policy, PolicySet } from '../core/policy.ts';
import { isFullSha, parseRef, parseRepositoryId, unsafeName, unsafeRef } from '../core/ref-event.ts';
import {
  type KServeOptions,
  kserveOf,
  readKServeOptions,
  tellUnbounded,
  withKServeOptions,
} from './kserve-options.ts';
import { loadPolicyDirectory } from './policy-directory.ts';
import { UsageError } from './usage-error.ts';

export interface ManifestOptions extends KServeOptions {
  policies: string;
  policy?: string;
  repository: string;
  ref: string;
  sha: string;
  modelCard?: string;
  projectId?: string;
}

/** Adds what says which policies, which ref and which KServe. */
export const withManifestOptions = (command: Command): Command =>
  withKServeOptions(
    command
      .usage('--policies <dir> --repository <id> --ref <ref> --sha <sha> [options]')
      .requiredOption('--policies <dir>', 'the directory with the policies, or one file')
      .option('--policy <name>', 'only this policy, instead of every one that matches')
      .requiredOption(
        '--repository <id>',
        'the model repository, such as gitlab:ml/vision/iris',
        repositoryOf,
      )
      .requiredOption('--ref <ref>', 'the full name, such as refs/tags/v1.0.0 or refs/heads/main', refOf)
      .requiredOption('--sha <sha>', 'the commit, all 40 or 64 digits of its id', shaOf)
      .option('--model-card <file>', 'README.md of the model at that commit')
      .option('--project-id <n>', "the forge's number of the repository", projectIdOf)
      .option(
        '--kserve <version>',
        "the version of KServe to render for, such as 0.15 (default: that of the target's cluster in modelhook.yaml, else 0.20)",
        versionOf,
      ),
  );

export function repositoryOf(text: string): string {
  const parsed = parseRepositoryId(text);
  if (parsed === null)
    throw new InvalidArgumentError('It takes <forge name>:<path>, such as gitlab:ml/vision/iris.');
  const fault = unsafeName('the repository', parsed.path);
  if (fault !== null) throw new InvalidArgumentError(`This is no repository: ${fault}.`);
  if (!text.endsWith('.git')) return text;
  throw new InvalidArgumentError('The .git at the end is no part of a repository id; leave it out.');
}

export function refOf(text: string): string {
  if (parseRef(text) === null)
    throw new InvalidArgumentError('It takes a full name, such as refs/tags/v1.0.0 or refs/heads/main.');
  const fault = unsafeRef(text);
  if (fault === null) return text;
  throw new InvalidArgumentError(`This is no ref: ${fault}.`);
}

export function shaOf(text: string): string {
  if (isFullSha(text)) return text;
  throw new InvalidArgumentError(
    'It takes a whole commit id, 40 or 64 hexadecimal digits in lower case, as git rev-parse prints it.',
  );
}

export function projectIdOf(text: string): string {
  if (/^\d+$/.test(text)) return text;
  throw new InvalidArgumentError('It takes a number, such as 42.');
}

function versionOf(text: string): string {
  if (isKServeVersion(text)) return text;
  throw new InvalidArgumentError('It takes a version, such as 0.15 or v0.20.1.');
}

/** A policy that matches, and what becomes of it. */
export type Matching = { policy: Policy; reason: string } & (
  | { plan: Plan; manifest: string; object: JsonObject; error: null }
  /** The plan is there where only its manifest is refused. */
  | { plan: Plan | null; error: StalledError }
);

export interface Other {
  policy: Policy;
  reason: string;
  /** Whether a pattern includes the repository: then something else keeps the policy from matching. */
  nearby: boolean;
}

export interface Answer {
  /** Both by the names of the policies. */
  matching: Matching[];
  others: Other[];
}

/**
 * Decides and renders for every policy that was asked about, as the controller would.
 * @throws UsageError where a file cannot be used; Error where the policies have faults, or none has the name asked for
 */
export async function makeManifests(options: ManifestOptions): Promise<Answer> {
  const loadOptions = await readKServeOptions(options);
  const { policies, faults } = await loadPolicyDirectory(options.policies, loadOptions);
  tellUnbounded(options);
  if (policies === null) throw new Error(faults.map(formatFault).join('\n'));
  const modelCard = await readModelCard(options.modelCard);
  const { repository, ref, sha, projectId = null } = options;
  const answer: Answer = { matching: [], others: [] };
  for (const policy of asked(policies, options)) {
    const { matches, reason } = explainMatch(policy, { repository, ref });
    const kserve = kserveOf(loadOptions, policy.target.cluster);
    const input = { policy, policies, repository, projectId, ref, sha, modelCard, kserve };
    if (matches) answer.matching.push({ policy, reason, ...manifestOf(input) });
    else answer.others.push({ policy, reason, nearby: isNearby(policy, repository) });
  }
  return answer;
}

function asked(
  { policies }: PolicySet,
  { policies: path, policy: name }: ManifestOptions,
): readonly Policy[] {
  if (policies.length === 0)
    throw new Error(`${path} holds no policy; policies are in files whose names end in .yaml`);
  if (name === undefined) return policies;
  const found = policies.filter((policy) => policy.name === name);
  if (found.length > 0) return found;
  const names = policies.map((policy) => policy.name);
  throw new Error(`there is no policy "${name}"${suggestion(name, names)}`);
}

function manifestOf(input: PlanInput) {
  let plan: Plan | null = null;
  try {
    plan = makePlan(input);
    return { plan, ...renderInferenceService(plan, input.kserve), error: null };
  } catch (error) {
    if (error instanceof StalledError) return { plan, error };
    throw error;
  }
}

export const isNearby = ({ match }: Policy, repository: string): boolean =>
  findGlobs(match.repositories, repository).included !== null;

export async function readModelCard(file: string | undefined): Promise<ModelCardInput> {
  if (file === undefined)
    return {
      kind: 'unavailable',
      reason: new StalledError('there is no model card', 'give one with --model-card'),
    };
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new UsageError(`the model card ${file} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    return { kind: 'card', card: parseModelCard(bytes) };
  } catch (error) {
    // Only policies that need it fail, each with this reason.
    if (error instanceof StalledError) return { kind: 'unavailable', reason: error };
    throw error;
  }
}
