/** `modelhook plan --from --to`: what merging one revision of the policies into another would change. */
import { type Command, Option } from 'commander';
import { type Fault, formatFault, messageOf } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';
import type { PolicyFile } from '../core/policy-documents.ts';
import { reviewPlainText } from '../core/review-plain-text.ts';
import { faultsIn } from '../core/review-sections.ts';
import { type Examination, reviewStatus } from '../core/review-text.ts';
import { toYaml } from '../core/yaml-text.ts';
import { serverOption, tokenOption } from './controller-api.ts';
import { type KServeOptions, readKServeOptions, tellUnbounded } from './kserve-options.ts';
import { commitOf, directoryInClone, gitDirOf } from './plan-clone.ts';
import { askDeployed, type Present } from './plan-deployed.ts';
import { oneLine } from './printable.ts';
import { UsageError } from './usage-error.ts';

export interface RevisionOptions extends Omit<KServeOptions, 'kserve'> {
  from: string;
  to: string;
  clone: string;
  policies?: string;
  server?: string;
  token?: string;
  output: 'text' | 'json' | 'yaml';
}

/** What only a plan of one ref takes. Each target of a change is rendered for the KServe it was deployed with. */
const OF_ONE_REF = ['policy', 'repository', 'ref', 'sha', 'modelCard', 'projectId', 'kserve', 'diff', 'all'];

/** Adds what asks about two revisions instead of one ref; what one ref requires is then not required. */
export function withRevisionOptions(command: Command): Command {
  const required = command.options.filter(({ mandatory }) => mandatory);
  for (const option of required) option.makeOptionMandatory(false);
  return command
    .addOption(
      new Option('--from <rev>', 'the revision in force, anything git rev-parse takes').conflicts(OF_ONE_REF),
    )
    .addOption(new Option('--to <rev>', 'the revision that would be merged').conflicts(OF_ONE_REF))
    .option('-C, --clone <dir>', 'the clone of the config repository that has both', '.')
    .addOption(serverOption())
    .addOption(tokenOption())
    .hook('preAction', () => {
      const { from, to } = command.opts<Partial<RevisionOptions>>();
      const missing = required.find((option) => command.getOptionValue(option.attributeName()) === undefined);
      if ((from === undefined) !== (to === undefined))
        command.error('error: --from and --to go together: what is in force, and what would be merged');
      if (from !== undefined) return;
      if (missing) command.error(`error: required option '${missing.flags}' not specified`);
      const stray = ['clone', 'server', 'token'].find((name) => command.getOptionValueSource(name) === 'cli');
      if (stray) command.error(`error: --${stray} goes with --from and --to, which compare two revisions`);
    });
}

/** For the help of `plan`. */
export const REVISIONS_HELP = `With --from and --to it says what merging one revision of the policies into another would change, as the comment on a
pull or merge request does: policies that are added, changed and removed; with --server and --config also which deployed
targets change, with the diffs of their manifests, and which refs match for the first time. Nothing is changed. Both are
commits of a local clone; what is not committed does not count. --policies is then the directory in the clone
(default: policies.directory of modelhook.yaml, else policies).
The two are compared as they are, not from where they parted: of a branch that lacks what --from has, the plan shows
that undone. So does the controller, which compares a head with the revision in force; merge or rebase first.
What is deployed is known to the controller alone: GET /api/v1/deployed of --server, with an API token. Without --server
deployed targets are not compared, and standard error says so.
With --output json or yaml: { from, to, deployed: true where targets were compared, policies: how many, faults, warnings,
changes: { policies, matches, targets, unchanged, newRefs, taken } }; changes is null where nothing could be compared.`;

/**
 * Prints what a merge would change.
 * @throws UsageError where the clone or a revision cannot be used; CommandFailure where the controller cannot; Error with
 *   the first fault where it should not be merged
 */
export async function planRevisions(options: RevisionOptions): Promise<void> {
  const { from, to, output } = options;
  const gitDir = await gitDirOf(options.clone);
  const commits = { from: await commitOf(gitDir, '--from', from), to: await commitOf(gitDir, '--to', to) };
  const present = await presentOf(options);
  tellUnbounded(options);
  if (present === null)
    note('deployed targets are not compared; a controller knows them, and --server says which');
  const found = await compare(gitDir, commits, options, present);
  if (output === 'text') process.stdout.write(reviewPlainText(found, { isCompared: present !== null }));
  else {
    const data = dataOf(found, commits, present !== null);
    process.stdout.write(output === 'yaml' ? toYaml(data) : `${JSON.stringify(data, null, 2)}\n`);
  }
  const { state, description } = reviewStatus(found);
  if (state === 'failed') throw new Error(description);
}

/** @returns null where no controller is to be asked */
async function presentOf({ server, token, config }: RevisionOptions): Promise<Present | null> {
  if (!server) return null;
  if (config === undefined)
    throw new UsageError(
      '--server (or MODELHOOK_SERVER) compares deployed targets, whose clusters and GitOps repositories are in modelhook.yaml; give that with --config',
    );
  return askDeployed({ server, ...(token && { token }) });
}

async function compare(
  gitDir: string,
  commits: { from: string; to: string },
  options: RevisionOptions,
  present: Present | null,
): Promise<Examination> {
  const { known, kserve } = await readKServeOptions(options);
  // Everything the controller is made of: not for a plan of one ref, which needs none of it.
  const { policyRevisions } = await import('../compose.ts');
  const directory = directoryInClone(options.policies ?? known?.policies.directory ?? 'policies');
  const read = async (revision: string, name: string): Promise<Read> => {
    try {
      return await policyRevisions.read(gitDir, revision, directory);
    } catch (error) {
      const hint = 'a clone that was made with --filter may lack files, so make it without';
      throw new UsageError(`${name} cannot be read: ${messageOf(error)}; ${hint}`, { cause: error });
    }
  };
  const base = await read(commits.from, options.from);
  const head = await read(commits.to, options.to);
  if ('faults' in head) return { kind: 'faults', faults: head.faults };
  const before = 'files' in base ? { revision: commits.from, files: base.files } : null;
  const after = { revision: commits.to, files: head.files };
  const { deployed, refs } = present ?? { deployed: [], refs: [] };
  const input = { before, uncompared: 'not compared', after, known: known ?? null, kserve, deployed, refs };
  const found = await policyRevisions.examine(input);
  if (found.kind === 'good' && found.changes === null) tellUncompared(options.from, base);
  return found;
}

type Read = { files: PolicyFile[] } | { faults: Fault[] };

function tellUncompared(from: string, base: Read): void {
  const [fault] = 'faults' in base ? base.faults : [];
  const why = fault ? formatFault(fault) : 'its policies have faults; name it with --to to see them';
  note(`nothing is compared with ${from}: ${why}`);
}

const note = (text: string): void => void process.stderr.write(`note: ${oneLine(text)}\n`);

function dataOf(
  found: Examination,
  { from, to }: { from: string; to: string },
  deployed: boolean,
): JsonObject {
  const said =
    found.kind === 'faults'
      ? { policies: null, faults: found.faults, warnings: [], changes: null }
      : { ...found, faults: found.changes === null ? [] : faultsIn(found.changes) };
  const { policies, faults, warnings, changes } = said;
  return JSON.parse(JSON.stringify({ from, to, deployed, policies, faults, warnings, changes }));
}
