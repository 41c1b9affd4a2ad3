/** modelhook.yaml → a frozen Config. One schema; every fault is reported at once, with its path in the file. */
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { type Alias, type Document, isCollection, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { forgeSchema } from './config-forges.ts';
import { danglingBounds, policiesSchema } from './config-policies.ts';
import { Secret } from './config-secret.ts';
import { parseCrd } from './core/crd.ts';
import { type Fault, formatFault, messageOf } from './core/errors.ts';
import { ASSUMED_KSERVE, isKServeVersion } from './core/kserve.ts';
import type { KnownNames } from './core/policy-references.ts';
import { parseRepositoryId, unsafeName, unsafeRef } from './core/ref-event.ts';

/** The configuration cannot be used. The message lists every fault, a line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults.map(formatFault).join('\n'));
    this.faults = faults;
  }
}

/** Where the file's secrets and paths are looked up. */
export interface ConfigSources {
  env: Readonly<Record<string, string | undefined>>;
  readFile(path: string): string;
  /** A file that is a secret, or for Git and SSH alone. */
  readSecret(path: string): string;
}

/** Where modelhook.yaml says that a secret is; the file by its absolute path. */
export type SecretSource = { env: string } | { file: string };

/**
 * Makes a secret that is not there yet.
 * @param source where it is to be; null: modelhook.yaml names no place
 */
export type MakeSecret = (source: SecretSource | null) => string;

/** A secret's value, or why there is none. */
type Lookup = { value: string } | { fault: string; isAbsent: boolean };

const readText = (path: string): string => readFileSync(path, 'utf8');
const SYSTEM: ConfigSources = { env: process.env, readFile: readText, readSecret: readText };

const DURATION = /^(\d+)(ms|s|m|h)$/;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

const name = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,30}$/,
    'a name is 1 to 31 lower-case letters, digits or "-", and starts with a letter',
  );

/** A DNS label, as Kubernetes has it. */
const namespace = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'a namespace is 1 to 63 lower-case letters, digits or "-"');

const duration = z.string().transform((text, context) => {
  const match = DURATION.exec(text);
  const [, amount, unit] = match ?? [];
  if (Number(amount) > 0 && unit) return Number(amount) * (UNITS[unit] ?? 1);
  context.addIssue({ code: 'custom', message: `"${text}" is not a duration; write it like 30s, 10m or 1h` });
  return z.NEVER;
});

const repositoryId = z.string().superRefine((id, context) => {
  const parsed = parseRepositoryId(id);
  const fault = parsed
    ? parsed.path.endsWith('.git')
      ? `"${id}" ends in .git, which is no part of a repository id; leave it out`
      : unsafeName('the repository', parsed.path)
    : `"${id}" is not a repository id; write it as <forge name>:<path>, such as plain:ml/policies`;
  if (fault) context.addIssue({ code: 'custom', message: fault });
});

const branch = z.string().superRefine((text, context) => {
  const fault = unsafeRef(`refs/heads/${text}`);
  if (fault) context.addIssue({ code: 'custom', message: fault });
});

/** Written into commits: what Git's identity lines cannot hold is refused. */
const identity = z.string().regex(/^[^<>\n]+$/, 'must not be empty or hold "<", ">" or a line break');

/**
 * The schema of a file read with these sources; paths in it are relative to the folder it is in.
 * @param makeSecret what takes the place of a webhook secret that is not there; null: that is a fault
 */
function schemaOf(
  { env, readFile, readSecret }: ConfigSources,
  folder: string,
  makeSecret: MakeSecret | null,
) {
  const path = z
    .string()
    .min(1)
    .transform((text) => resolve(folder, text));

  const secretSource = z.union(
    [z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: path })],
    'a secret is { env: NAME } or { file: PATH }; it is never written into this file',
  );
  function lookUp(source: SecretSource): Lookup {
    if ('env' in source) {
      const value = env[source.env];
      if (value) return { value };
      return { fault: `the environment variable ${source.env} is not set`, isAbsent: true };
    }
    try {
      const value = readSecret(source.file).trimEnd();
      if (value) return { value };
      return { fault: `the file ${source.file} is empty`, isAbsent: true };
    } catch (error) {
      const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      return { fault: `the secret cannot be read: ${messageOf(error)}`, isAbsent };
    }
  }
  const secretOr = (make: MakeSecret | null) =>
    secretSource.transform((source, context) => {
      const found = lookUp(source);
      if ('value' in found) return new Secret(found.value);
      if (make && found.isAbsent) return new Secret(make(source));
      context.addIssue({ code: 'custom', message: found.fault });
      return z.NEVER;
    });
  const secret = secretOr(null);
  const existingPath = path.superRefine((file, context) => {
    try {
      readSecret(file);
    } catch (error) {
      context.addIssue({ code: 'custom', message: `the file cannot be read: ${messageOf(error)}` });
    }
  });
  /** A file that Git or SSH opens itself. */
  const existingFile = z.strictObject({ file: existingPath }).transform(({ file }) => file);

  const cluster = z
    .strictObject({
      kubeconfig: z.strictObject({ file: existingPath, context: z.string().min(1).optional() }).optional(),
      inCluster: z.literal(true, 'is true, or left out').optional(),
      namespaces: z.array(namespace).default([]),
      kserve: z
        .string({ error: 'is a version in quotes, such as "0.20"' })
        .refine(isKServeVersion, 'is no version of KServe; write it like "0.20" or v0.20.1')
        .optional(),
      crd: z
        .strictObject({ file: path })
        .transform(({ file }, context) => {
          try {
            return parseCrd(readFile(file));
          } catch (error) {
            context.addIssue({ code: 'custom', message: `${file}: ${messageOf(error)}` });
            return z.NEVER;
          }
        })
        .optional(),
    })
    .superRefine(({ kubeconfig, inCluster, namespaces }, context) => {
      const fault = (path: string, message: string) =>
        context.addIssue({ code: 'custom', path: [path], message });
      if (kubeconfig && inCluster) fault('inCluster', 'stands beside kubeconfig; keep one of the two');
      if (namespaces.length > 0 && !kubeconfig && !inCluster)
        fault('namespaces', 'says what to watch, so it needs kubeconfig or inCluster beside it');
    });

  return z.strictObject({
    server: z
      .strictObject({
        host: z.string().default('127.0.0.1'),
        port: z.int().min(0).max(65_535).default(8080),
        publicUrl: z
          .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
          .refine(
            (url) => !url.includes('@'),
            'must be without user name and password: it is in every status',
          )
          .transform((url) => url.replace(/\/+$/, ''))
          .optional(),
        apiTokens: z.array(secret).default([]),
      })
      .prefault({}),
    store: z
      .string()
      .default('sqlite:data/modelhook.db')
      .transform((text, context) => {
        if (text.startsWith('sqlite:') && text.length > 'sqlite:'.length)
          return { kind: 'sqlite' as const, file: resolve(folder, text.slice('sqlite:'.length)) };
        context.addIssue({ code: 'custom', message: 'is not a store; write it as sqlite:PATH' });
        return z.NEVER;
      }),
    forges: z.record(
      name,
      forgeSchema({ secret, webhookSecret: secretOr(makeSecret), existingFile, folder }),
    ),
    policies: policiesSchema({ repository: repositoryId, branch }),
    gitops: z
      .record(
        name,
        z.strictObject({
          repository: repositoryId,
          branch: branch.default('main'),
          author: z
            .strictObject({ name: identity, email: identity })
            .default({ name: 'modelhook', email: 'modelhook@localhost' }),
        }),
      )
      .default({}),
    clusters: z.record(name, cluster).default({}),
    worker: z.strictObject({ concurrency: z.int().min(1).max(256).default(16) }).prefault({}),
    reconcile: z.strictObject({ interval: duration.default(600_000) }).prefault({}),
    cache: path.default(resolve(folder, 'data/mirrors')),
  });
}

type Parsed = z.infer<ReturnType<typeof schemaOf>>;
export type ForgeConfig = Parsed['forges'][string];
export type GitopsConfig = Parsed['gitops'][string];
export type ClusterConfig = Parsed['clusters'][string];

/** What modelhook.yaml says, with defaults applied, secrets read and paths absolute. */
export type Config = Readonly<Parsed>;

/** @returns what policies may refer to, and their bounds */
export const knownNames = ({ forges, clusters, gitops, policies }: Config): KnownNames => ({
  forges: Object.keys(forges),
  clusters: Object.entries(clusters).map(([cluster, { kserve, crd, kubeconfig, inCluster, namespaces }]) => ({
    name: cluster,
    kserve: { version: kserve ?? null, structure: crd ?? ASSUMED_KSERVE.structure },
    reachable: kubeconfig !== undefined || inCluster === true,
    namespaces,
  })),
  gitops: Object.entries(gitops).map(([name, { repository }]) => ({
    name,
    pullRequests: forges[parseRepositoryId(repository)?.forge ?? '']?.kind !== 'git',
  })),
  policies: { directory: policies.directory, bounds: policies.bounds },
});

/**
 * Reads modelhook.yaml.
 * @throws ConfigError with every fault, where it cannot be used
 */
export const loadConfig = (file: string, sources: ConfigSources = SYSTEM): Config =>
  load(file, sources, null);

/**
 * Reads modelhook.yaml before all webhook secrets are there.
 * @param makeSecret called for each whose variable is not set, or whose file is missing or empty, and for each forge that
 * names none; what it returns takes its place
 * @throws ConfigError with every other fault
 */
export function loadConfigWithNewSecrets(
  file: string,
  makeSecret: MakeSecret,
  sources: ConfigSources = SYSTEM,
): Config {
  const config = load(file, sources, makeSecret);
  const withSecret = (forge: ForgeConfig): ForgeConfig =>
    forge.webhookSecrets.length > 0 ? forge : { ...forge, webhookSecrets: [new Secret(makeSecret(null))] };
  const forges = Object.entries(config.forges).map(([key, forge]) => [key, withSecret(forge)]);
  return deepFreeze({ ...config, forges: Object.fromEntries(forges) });
}

function load(file: string, sources: ConfigSources, makeSecret: MakeSecret | null): Config {
  let text: string;
  try {
    text = sources.readFile(file);
  } catch (error) {
    throw new ConfigError([
      { file, line: 1, column: 1, message: `the file cannot be read: ${messageOf(error)}` },
    ]);
  }
  return parseConfig(text, file, sources, makeSecret);
}

/**
 * Reads modelhook.yaml for its names: where policies are checked, such as in CI, its secrets are not at hand.
 * @throws ConfigError with every fault, where it cannot be used
 */
export function loadConfigWithoutSecrets(file: string): Config {
  const absent = 'not at hand';
  const env = new Proxy({}, { get: () => absent });
  return loadConfig(file, { env, readFile: readText, readSecret: () => absent });
}

/**
 * Reads the text of a modelhook.yaml.
 * @param file its name, for faults and for the paths in it
 * @param makeSecret as of loadConfigWithNewSecrets; null: a webhook secret that is not there is a fault
 * @throws ConfigError with every fault, where it cannot be used
 */
export function parseConfig(
  text: string,
  file: string,
  sources: ConfigSources = SYSTEM,
  makeSecret: MakeSecret | null = null,
): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const faultAt = (offset: number, message: string): Fault => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1), message };
  };
  if (document.errors.length > 0)
    throw new ConfigError(document.errors.map((error) => faultAt(error.pos[0], error.message)));

  const folder = dirname(isAbsolute(file) ? file : resolve(file));
  let data: unknown;
  try {
    data = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    // Aliases are followed only here: one that leads nowhere, or a few that lead to millions of values.
    throw new ConfigError([faultAt(aliasOffset(document), messageOf(error))]);
  }
  const parsed = schemaOf(sources, folder, makeSecret).safeParse(data);
  if (!parsed.success) {
    const faults = parsed.error.issues
      .flatMap((issue) => explain(issue, document.hasIn(issue.path)))
      .map(({ path, message }) => faultAt(offsetOf(document.contents, path), `${pathOf(path)}: ${message}`));
    throw new ConfigError(faults);
  }
  const { forges, clusters, gitops, policies } = parsed.data;
  const dangling = [
    ...danglingForges(parsed.data),
    ...danglingBounds(policies.bounds, {
      forges: Object.keys(forges),
      clusters: Object.keys(clusters),
      gitops: Object.keys(gitops),
      structures: [ASSUMED_KSERVE.structure, ...Object.values(clusters).flatMap(({ crd }) => crd ?? [])],
    }),
  ];
  if (dangling.length > 0)
    throw new ConfigError(
      dangling.map(({ path, message }) =>
        faultAt(offsetOf(document.contents, path), `${pathOf(path)}: ${message}`),
      ),
    );
  return deepFreeze(parsed.data);
}

/** Where the first alias stands that leads nowhere; else the first one. */
function aliasOffset(document: Document): number {
  const aliases: Alias[] = [];
  visit(document, { Alias: (_, alias) => void aliases.push(alias) });
  const alias = aliases.find((each) => !each.resolve(document)) ?? aliases[0];
  return alias?.range?.[0] ?? 0;
}

interface Issue {
  path: PropertyKey[];
  message: string;
}

/** Zod's issues in words that say what to do; one issue a key. */
function explain(issue: z.core.$ZodIssue, present: boolean): Issue[] {
  const { path } = issue;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: 'is not a key modelhook knows here',
      }));
    case 'invalid_key':
      return [{ path, message: issue.issues[0]?.message ?? issue.message }];
    case 'invalid_type':
      return [
        {
          path,
          message: `${present ? 'must be' : 'is missing:'} ${article(issue.expected)} ${issue.expected}`,
        },
      ];
    default:
      return [{ path, message: issue.message }];
  }
}

const article = (noun: string): string => (/^[aeiou]/.test(noun) ? 'an' : 'a');

/** Repositories of forges that are not configured. */
function danglingForges({ forges, policies, gitops }: Parsed): Issue[] {
  const known = Object.keys(forges);
  const named: [PropertyKey[], string][] = [
    [['policies', 'repository'], policies.repository],
    ...Object.entries(gitops).map(([key, { repository }]): [PropertyKey[], string] => [
      ['gitops', key, 'repository'],
      repository,
    ]),
  ];
  return named.flatMap(([path, id]) => {
    const forge = parseRepositoryId(id)?.forge ?? '';
    if (known.includes(forge)) return [];
    return [
      { path, message: `names the forge "${forge}", but forges has only ${known.join(', ') || 'none'}` },
    ];
  });
}

/** Where the value at a path stands in the file; the nearest that exists for one that is missing. */
function offsetOf(root: Node | null, path: readonly PropertyKey[]): number {
  let node: Node | null = root;
  let offset = root?.range?.[0] ?? 0;
  for (const segment of path) {
    if (!isCollection(node)) break;
    const next: unknown = node.get(typeof segment === 'symbol' ? String(segment) : segment, true);
    if (typeof next !== 'object' || next === null || !('range' in next)) break;
    node = next as Node;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}

const pathOf = (path: readonly PropertyKey[]): string => path.map(String).join('.') || 'modelhook.yaml';

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
