/** `modelhook validate`: everything that is wrong with a directory of policies, before it is merged. */
import { Command, Option } from 'commander';
import { type Fault, formatFault } from '../core/errors.ts';
import type { LoadedPolicies } from '../core/policy-files.ts';
import {
  CRD_HELP,
  type KServeOptions,
  readKServeOptions,
  tellUnbounded,
  withKServeOptions,
} from './kserve-options.ts';
import { loadPolicyDirectory } from './policy-directory.ts';
import { oneLine } from './printable.ts';

interface ValidateOptions extends KServeOptions {
  output: 'text' | 'json';
}

/** The subcommand `validate`, to be added to the program. */
export const validateCommand = (): Command =>
  withKServeOptions(
    new Command('validate')
      .description(
        'Check policies, GPU profiles and serving runtimes: every fault with its file, line and column.',
      )
      .argument('<dir>', 'the directory, all .yaml files below which are read; or one file'),
  )
    .addOption(
      new Option('--output <format>', 'how to write the result').choices(['text', 'json']).default('text'),
    )
    .addHelpText(
      'after',
      `
Faults go to standard output; notes and warnings, which change nothing, to standard error. With --output json all
three go to standard output: { faults: [{ file, line, column, message }], warnings: [], notes: [] }.
One file is checked by itself: a GPU profile that is defined in another one is a fault.
${CRD_HELP}

Exit codes: 0 no fault, 1 at least one fault, 2 wrong usage or a file that cannot be used.

Examples:
  modelhook validate policies/
  modelhook validate policies/ --config modelhook.yaml --output json
  kubectl get crd inferenceservices.serving.kserve.io -o yaml | modelhook validate policies/ --crd -`,
    )
    .action(validate);

async function validate(path: string, options: ValidateOptions): Promise<void> {
  const loaded = await loadPolicyDirectory(path, await readKServeOptions(options));
  const { faults, warnings, notes } = loaded;
  tellUnbounded(options);
  if (options.output === 'json')
    process.stdout.write(`${JSON.stringify({ faults, warnings, notes }, null, 2)}\n`);
  else writeText(loaded);
  if (faults.length > 0) process.exitCode = 1;
}

function writeText({ policies, faults, warnings, notes }: LoadedPolicies): void {
  const lines = (found: readonly Fault[], prefix: string): string =>
    found.map((one) => `${oneLine(formatFault({ ...one, message: prefix + one.message }))}\n`).join('');
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
