/** `modelhook validate`: everything that is wrong with a directory of policies, before it is merged. */
import { Command, Option } from 'commander';
import { type Fault, formatFault } from '../core/errors.ts';
import type { LoadedPolicies } from '../core/policy-files.ts';
import { DirectoryError, loadPolicyDirectory } from './policy-directory.ts';

interface ValidateOptions {
  config?: string;
  output: 'text' | 'json';
}

/** The subcommand `validate`, to be added to the program. */
export const validateCommand = (): Command =>
  new Command('validate')
    .description(
      'Check policies, GPU profiles and serving runtimes: every fault with its file, line and column.',
    )
    .argument('<dir>', 'the directory; all .yaml files below it are read')
    .option('-c, --config <file>', 'modelhook.yaml, to check names of clusters and GitOps repositories too')
    .addOption(
      new Option('--output <format>', 'how to write the result').choices(['text', 'json']).default('text'),
    )
    .addHelpText(
      'after',
      `
Faults go to standard output; notes and warnings, which change nothing, to standard error. With --output json all
three go to standard output.

Exit codes: 0 no fault, 1 at least one fault, 2 wrong usage or a directory that cannot be read.

Examples:
  modelhook validate policies/
  modelhook validate policies/ --config modelhook.yaml --output json`,
    )
    .action(validate);

async function validate(directory: string, { config, output }: ValidateOptions): Promise<void> {
  let loaded: LoadedPolicies;
  try {
    loaded = await loadPolicyDirectory(directory, config);
  } catch (error) {
    if (!(error instanceof DirectoryError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
    return;
  }
  const { faults, warnings, notes } = loaded;
  if (output === 'json') process.stdout.write(`${JSON.stringify({ faults, warnings, notes }, null, 2)}\n`);
  else writeText(loaded);
  process.exitCode = faults.length > 0 ? 1 : 0;
}

function writeText({ policies, faults, warnings, notes }: LoadedPolicies): void {
  const lines = (found: readonly Fault[], prefix: string): string =>
    found.map((one) => `${formatFault({ ...one, message: prefix + one.message })}\n`).join('');
  process.stdout.write(lines(faults, ''));
  process.stderr.write(lines(notes, 'note: ') + lines(warnings, 'warning: '));
  const sum =
    policies === null
      ? count(faults.length, 'fault')
      : `${count(policies.policies.length, 'policy', 'policies')}, ${count(policies.gpuProfiles.length, 'GPU profile')}, ${count(policies.runtimes.length, 'runtime')}: no faults`;
  process.stderr.write(`${sum}\n`);
}

const count = (number: number, one: string, many = `${one}s`): string =>
  `${number} ${number === 1 ? one : many}`;
