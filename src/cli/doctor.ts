/** `modelhook doctor`: whether the configuration, the policies, the forges and the clusters are as they must be, and how to mend it. */
import { styleText } from 'node:util';
import { Command, Option } from 'commander';
import { type Config, ConfigError, loadConfig } from '../config.ts';
import { parseRepositoryId, unsafeName } from '../core/ref-event.ts';
import type { Finding } from '../forge/forge.ts';
import { endAllGit } from '../git/git.ts';
import { createLog } from '../telemetry/log.ts';
import { checkCluster, type ExaminedCluster } from './doctor-clusters.ts';
import { count, good, type Section } from './doctor-findings.ts';
import { checkForge, usesOf } from './doctor-forges.ts';
import { checkPolicies } from './doctor-policies.ts';
import { oneLine } from './printable.ts';
import { UsageError } from './usage-error.ts';
import { hideSecrets, urlOption } from './webhook.ts';

interface DoctorOptions {
  config: string;
  /** true: the option without names. */
  forge?: true | string[];
  /** true: the option without names. */
  cluster?: true | string[];
  url?: string;
  output: 'text' | 'json';
}

export const doctorCommand = (): Command =>
  new Command('doctor')
    .description(
      'Check the configuration, the policies, on each forge the token, the repositories and their webhooks, and on each cluster the rights, KServe and its runtimes; say how to mend each.',
    )
    .argument('[id...]', 'model repositories to look at too, such as gitlab:ml/iris')
    .requiredOption('-c, --config <file>', 'modelhook.yaml')
    .option('--forge [name...]', 'look at these forges only (default: all)')
    .option('--cluster [name...]', 'look at these clusters only (default: all)')
    .addOption(urlOption())
    .addOption(
      new Option('--output <format>', 'how to write the result').choices(['text', 'json']).default('text'),
    )
    .addHelpText(
      'after',
      `
Looked at are the config repository, the GitOps repositories, the model repositories that a policy names without a
wildcard, and those that are given. Nothing is changed. Run it where the controller runs, with its environment.

With --forge alone no cluster is looked at, with --cluster alone no forge.

With --output json: { findings: [{ forge, cluster, about, state, message, fix }] }. forge and cluster are null for what is
about none, state is good, warning or fault, and fix is null where it is good.

Exit codes: 0 no fault, 1 at least one fault, 2 wrong usage, or faults of the configuration.

Examples:
  modelhook doctor --config modelhook.yaml
  modelhook doctor gitlab:ml/iris --config modelhook.yaml --forge gitlab
  modelhook doctor --config modelhook.yaml --cluster prod`,
    )
    .action(doctor);

async function doctor(
  given: string[],
  { config: file, forge, cluster, url, output }: DoctorOptions,
): Promise<void> {
  const configuration = { title: 'Configuration', forge: null, cluster: null };
  let config: Config;
  try {
    config = loadConfig(file);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const findings = error.faults.map(configFinding);
    write([hidden({ ...configuration, findings }, (text) => text)], output);
    process.exitCode = 2;
    return;
  }
  const words = Array.isArray(forge) ? forge : [];
  // `--forge a b:c` takes both words; a forge's name has no colon.
  const ids = [...given, ...words.filter((word) => word.includes(':'))];
  const names = words.filter((word) => !word.includes(':'));
  refuseUnknown(config, ids, names);
  const clusters = clustersToLookAt(config, cluster, forge !== undefined);

  const policies = await checkPolicies(config);
  const uses = usesOf(config, [...policies.repositories, ...ids]);
  const ofIds = ids.map((id) => parseRepositoryId(id)?.forge ?? '');
  const all = cluster !== undefined && forge === undefined ? ofIds : Object.keys(config.forges);
  const examined = new Set(names.length === 0 ? all : [...names, ...ofIds]);
  const [forges, ofClusters] = await Promise.all([
    Promise.all([...examined].map((name) => checkForge(config, name, uses.get(name) ?? [], url))),
    Promise.all(clusters.map((each) => checkCluster(each, policies.policies))),
  ]);
  const hide = (text: string): string => hideSecrets(config, text);
  const usable = { ...configuration, findings: [good(file, 'can be used')] };
  const sections = [usable, policies.section, ...forges, ...ofClusters].map((section) =>
    hidden(section, hide),
  );
  if (sections.some(({ findings }) => findings.some(({ state }) => state === 'fault'))) process.exitCode = 1;
  // A forge that gave no answer in time is still being asked, which would keep the process.
  endAllGit();
  write(sections, output, () => process.exit());
}

const configFinding = ({ file, line, column, message }: ConfigError['faults'][number]): Finding => ({
  about: `${file}:${line}:${column}`,
  state: 'fault',
  message,
  fix: 'correct it; docs/configuration.md has every key',
});

function refuseUnknown({ forges }: Config, ids: readonly string[], names: readonly string[]): void {
  for (const id of ids) {
    const parsed = parseRepositoryId(id);
    if (!parsed) throw new UsageError(`"${id}" is not a repository id; write <forge name>:<path>`);
    const fault = unsafeName('the path', parsed.path);
    if (fault) throw new UsageError(`${id}: ${fault}`);
  }
  const unknown = [...names, ...ids.map((id) => parseRepositoryId(id)?.forge ?? '')].find(
    (name) => !Object.hasOwn(forges, name),
  );
  if (unknown === undefined) return;
  throw new UsageError(
    `the configuration has no forge "${unknown}"; it has ${Object.keys(forges).join(', ') || 'none'}`,
  );
}

/** Those that modelhook.yaml gives access to. */
function clustersToLookAt(
  config: Config,
  given: DoctorOptions['cluster'],
  isOfForges: boolean,
): ExaminedCluster[] {
  if (given === undefined && isOfForges) return [];
  const named = Array.isArray(given) ? given : null;
  for (const name of named ?? []) refuseCluster(config, name);
  return Object.entries(config.clusters).flatMap(([name, { kubeconfig, inCluster, namespaces, kserve }]) => {
    if ((!kubeconfig && !inCluster) || named?.includes(name) === false) return [];
    const context = kubeconfig?.context === undefined ? '' : `, context ${kubeconfig.context}`;
    const access = kubeconfig ? `${kubeconfig.file}${context}` : 'the pod it runs in';
    const ofContext = kubeconfig?.context === undefined ? '' : ` --context ${kubeconfig.context}`;
    const kubectl = kubeconfig ? `kubectl --kubeconfig ${kubeconfig.file}${ofContext}` : undefined;
    const open = async () => {
      const { composeClusters } = await import('../compose.ts');
      const composed = composeClusters(config, createLog('silent')).get(name);
      if (!composed) throw new TypeError(`the cluster ${name} was not composed`);
      return composed;
    };
    return [{ name, access, namespaces, kserve, kubectl, open }];
  });
}

function refuseCluster({ clusters }: Config, name: string): void {
  if (!Object.hasOwn(clusters, name))
    throw new UsageError(
      `the configuration has no cluster "${name}"; it has ${Object.keys(clusters).join(', ') || 'none'}`,
    );
  if (!clusters[name]?.kubeconfig && !clusters[name]?.inCluster)
    throw new UsageError(
      `the configuration gives no access to cluster "${name}"; set kubeconfig or inCluster for it`,
    );
}

/** What forges say may hold what they were sent, and what steers a terminal. */
const hidden = ({ title, forge, cluster, findings }: Section, hide: (text: string) => string): Section => ({
  title: oneLine(title),
  forge,
  cluster,
  findings: findings.map(({ about, state, message, fix }) => ({
    about: oneLine(hide(about)),
    state,
    message: oneLine(hide(message)),
    fix: fix === null ? null : oneLine(hide(fix)),
  })),
});

function write(sections: readonly Section[], output: 'text' | 'json', done?: () => void): void {
  const text = output === 'json' ? toJson(sections) : toText(sections);
  process.stdout.write(`${text}\n`, done);
}

const toJson = (sections: readonly Section[]): string => {
  const findings = sections.flatMap(({ forge, cluster, findings: found }) =>
    found.map((finding) => ({ forge, cluster, ...finding })),
  );
  return JSON.stringify({ findings }, null, 2);
};

function toText(sections: readonly Section[]): string {
  const states = sections.flatMap(({ findings }) => findings.map(({ state }) => state));
  const number = (state: Finding['state']): number => states.filter((each) => each === state).length;
  const sum = `${count(number('fault'), 'fault')}, ${count(number('warning'), 'warning')}, ${number('good')} good`;
  return [...sections.map(sectionText), styleText('bold', sum, { stream: process.stdout })].join('\n');
}

function sectionText({ title, findings }: Section): string {
  const grouped = Map.groupBy(findings, ({ about }) => about);
  const lines = [...grouped.values()].flat().map((finding, index, all) =>
    // One command may mend several, and is said once.
    findingText(finding.fix === all[index + 1]?.fix ? { ...finding, fix: null } : finding),
  );
  return [styleText('bold', title, { stream: process.stdout }), ...lines, ''].join('\n');
}

const MARKS = {
  good: { sign: '✓', colour: 'green', word: 'good   ' },
  warning: { sign: '!', colour: 'yellow', word: 'warning' },
  fault: { sign: '✗', colour: 'red', word: 'fault  ' },
} as const satisfies Record<Finding['state'], object>;

function findingText({ about, state, message, fix }: Finding): string {
  const { sign, colour, word } = MARKS[state];
  const coloured = styleText(colour, sign, { stream: process.stdout });
  // Where colours are not shown, neither may the signs be.
  const mark = coloured === sign ? word : coloured;
  return `  ${mark}  ${about}: ${message}${fix === null ? '' : `\n      ${fix}`}`;
}
