/** Which KServe policies are checked and rendered for: what modelhook.yaml, a CRD and the command line say of it. */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { type Command, Option } from 'commander';
import { knownNames, loadConfigWithoutSecrets } from '../config.ts';
import { parseCrd, reduceCrd } from '../core/crd.ts';
import { messageOf } from '../core/errors.ts';
import { ASSUMED_KSERVE, type KServe } from '../core/kserve.ts';
import type { LoadOptions } from '../core/policy-files.ts';
import type { Structure } from '../core/structure.ts';
import { oneLine } from './printable.ts';
import { UsageError } from './usage-error.ts';

export interface KServeOptions {
  config?: string;
  crd?: string;
  kubeconfig?: string;
  context?: string;
  /** A version, such as `0.15`. */
  kserve?: string;
}

/** Adds `--config` and the options that give the CRD of InferenceService. */
export const withKServeOptions = (command: Command): Command =>
  command
    .option(
      '-c, --config <file>',
      'modelhook.yaml: checks names of clusters and GitOps repositories too, applies its bounds, and tells the KServe of each cluster',
    )
    .addOption(
      new Option(
        '--crd <file>',
        "KServe's CRD of InferenceService to check against, as KServe releases it or kubectl prints it; - reads standard input",
      ).conflicts('kubeconfig'),
    )
    .option('--kubeconfig <file>', 'read that CRD from the cluster of this file instead')
    .option('--context <name>', 'a context of that file, instead of its current one');

/** For the help of commands with these options. */
export const CRD_HELP = `What is checked against is the CRD of --crd or --kubeconfig, else that of the target's cluster in modelhook.yaml,
else that of KServe 0.20. Bounds (policies.bounds) are in modelhook.yaml: without --config none applies, and standard
error says so.`;

/** @throws UsageError where a CRD cannot be read or used; ConfigError where modelhook.yaml cannot */
export async function readKServeOptions(options: KServeOptions): Promise<LoadOptions & { kserve: KServe }> {
  const known =
    options.config === undefined ? undefined : knownNames(loadConfigWithoutSecrets(options.config));
  const structure = await readStructure(options);
  const given: Partial<KServe> = {
    ...(options.kserve === undefined ? {} : { version: options.kserve }),
    ...(structure === null ? {} : { structure }),
  };
  return {
    kserve: { ...ASSUMED_KSERVE, ...given },
    known: known && {
      ...known,
      clusters: known.clusters.map((cluster) => ({ ...cluster, kserve: { ...cluster.kserve, ...given } })),
    },
  };
}

/** Says that policies were not held to any bound, where modelhook.yaml is not given. */
export function tellUnbounded({ config }: KServeOptions): void {
  if (config === undefined)
    process.stderr.write('note: no bounds applied; they are in modelhook.yaml, which --config gives\n');
}

/** @returns what is known of the KServe of a cluster, as the controller looks it up */
export const kserveOf = ({ known, kserve }: LoadOptions & { kserve: KServe }, cluster: string): KServe =>
  known?.clusters.find(({ name }) => name === cluster)?.kserve ?? kserve;

async function readStructure({ crd, kubeconfig, context }: KServeOptions): Promise<Structure | null> {
  if (crd !== undefined) return usable(`--crd ${crd}`, () => readCrd(crd));
  if (kubeconfig !== undefined) {
    // Everything the controller is made of: not for the commands that need none of it.
    const { composeCluster } = await import('../compose.ts');
    const cluster = composeCluster({ file: kubeconfig, context });
    return usable('--kubeconfig', async () => reduceCrd(await cluster.inferenceServiceCrd()));
  }
  if (context === undefined) return null;
  throw new UsageError('--context is one of a kubeconfig; give the file with --kubeconfig');
}

const readCrd = async (file: string): Promise<Structure> =>
  parseCrd(file === '-' ? await text(process.stdin) : await readFile(file, 'utf8'));

/** @throws UsageError that names the option, whatever keeps it from being used */
async function usable(option: string, read: () => Promise<Structure>): Promise<Structure> {
  try {
    return await read();
  } catch (error) {
    throw new UsageError(`${option}: ${oneLine(messageOf(error))}`, { cause: error });
  }
}
