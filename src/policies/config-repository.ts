/** Policies from a branch of the config repository: a good head comes into force, a bad one never does. */
import { type Fault, formatFault, messageOf, StalledError } from '../core/errors.ts';
import type { PolicySet } from '../core/policy.ts';
import type { PolicyFile } from '../core/policy-documents.ts';
import { loadPolicies } from '../core/policy-files.ts';
import type { KnownNames } from '../core/policy-references.ts';
import { git } from '../git/git.ts';
import type { Mirror } from '../git/mirror.ts';
import { ObjectReader } from '../git/objects.ts';
import type { Log } from '../telemetry/log.ts';
import type { PoliciesStatus, PolicySource } from './policies.ts';

/** Keeps the revision in force from being tidied away, whatever happens to the branch. */
const IN_FORCE_REF = 'refs/modelhook/in-force';
/** Specification section 5 bounds a file; this bounds their number. */
const MAX_FILES = 20_000;
const MAX_FILE_BYTES = 1024 * 1024;

export interface ConfigRepositoryOptions {
  repository: string;
  branch: string;
  directory: string;
  mirror: Mirror;
  known: KnownNames;
  /** Remembers over restarts which revision is in force. */
  inForce: { get(): Promise<string | null>; set(revision: string): Promise<void> };
  log: Log;
}

export interface ConfigRepository extends PolicySource {
  /** @returns what of the newest commit that was looked at deserves a second look, though it may be in force */
  warnings(): readonly Fault[];
}

interface Loaded {
  policies: PolicySet | null;
  faults: Fault[];
  warnings: Fault[];
}

export function createConfigRepository(options: ConfigRepositoryOptions): ConfigRepository {
  const { repository, branch, directory, mirror, known, inForce, log } = options;
  let current: PolicySet | null = null;
  let ofHead: readonly Fault[] = [];
  let status: PoliciesStatus = {
    repository,
    branch,
    inForce: null,
    head: null,
    faults: [],
    unreachable: null,
  };

  /** Reads and validates the policies at a commit. */
  async function load(revision: string): Promise<Loaded> {
    const files = await readFiles(mirror, revision, directory);
    if ('faults' in files) return { policies: null, faults: files.faults, warnings: [] };
    const { policies, faults, warnings } = loadPolicies(files.files, revision, { known });
    for (const warning of warnings) log.warn({ revision, warning: formatFault(warning) }, 'policy warning');
    return { policies, faults, warnings };
  }

  async function putInForce(policies: PolicySet): Promise<void> {
    await git(['update-ref', IN_FORCE_REF, policies.revision], { dir: mirror.dir });
    await inForce.set(policies.revision);
    current = policies;
  }

  /** After a start with a head that is bad or out of reach: the revision that was in force before. */
  async function restore(): Promise<void> {
    const revision = await inForce.get();
    if (current || revision === null || (await mirror.resolve(`${revision}^{commit}`)) === null) return;
    current = (await load(revision)).policies;
    status = { ...status, inForce: current?.revision ?? null };
  }

  return {
    current: () => current,
    status: () => status,
    warnings: () => ofHead,

    async refresh() {
      let head: string | null;
      try {
        head = await mirror.fetchBranch(branch);
      } catch (error) {
        status = { ...status, unreachable: messageOf(error) };
        await restore();
        throw error;
      }
      if (head === null) {
        const reason = `${repository} has no branch "${branch}"`;
        status = { ...status, unreachable: reason };
        await restore();
        throw new StalledError(reason, 'push the policies to it, or set policies.branch in modelhook.yaml');
      }
      if (head === status.head && status.unreachable === null) return;
      const { policies, faults, warnings } = await load(head);
      if (policies) await putInForce(policies);
      else {
        await restore();
        const first = faults.slice(0, 20).map(formatFault);
        log.error(
          { head, inForce: current?.revision ?? null, faults: first },
          'the config head is bad and not used',
        );
      }
      ofHead = warnings;
      status = { ...status, head, faults, unreachable: null, inForce: current?.revision ?? null };
    },
  };
}

/** The policy files at a commit. Links and submodules are no files: what they point to is not in this repository. */
async function readFiles(
  mirror: Mirror,
  revision: string,
  directory: string,
): Promise<{ files: PolicyFile[] } | { faults: Fault[] }> {
  const pathspec = directory === '' ? [] : [`:(literal)${directory}`];
  const tree = await git(['ls-tree', '-r', '-z', '--full-tree', '--long', revision, '--', ...pathspec], {
    dir: mirror.dir,
  });
  // Git keeps no empty folder: this one was never there, or has another name. An empty set would end what is pending.
  if (tree.length === 0)
    return {
      faults: [
        faultIn(
          directory,
          'is not in the config repository; add it, or set policies.directory in modelhook.yaml',
        ),
      ],
    };
  const entries = tree
    .toString()
    .split('\0')
    .flatMap((line) => {
      const match = /^100\d{3} blob ([0-9a-f]+) +(\d+)\t(.*\.yaml)$/s.exec(line);
      return match ? [{ oid: match[1] ?? '', size: Number(match[2]), path: match[3] ?? '' }] : [];
    });
  if (entries.length > MAX_FILES)
    return { faults: [faultIn(directory, `has ${entries.length} policy files, more than ${MAX_FILES}`)] };
  const tooLarge = entries.filter(({ size }) => size > MAX_FILE_BYTES);
  if (tooLarge.length > 0)
    return {
      faults: tooLarge.map(({ path, size }) => faultIn(path, `has ${size} bytes, over the limit of 1 MiB`)),
    };
  // The mirror is whole, so nothing is asked of the repository, which may be out of reach.
  using objects = new ObjectReader(mirror.dir);
  const files = entries.map(async ({ oid, path }) => {
    const bytes = await objects.contents(oid);
    if (!bytes) throw new Error(`the mirror ${mirror.dir} lacks ${path} at ${revision}; it may be deleted`);
    return { path, text: bytes.toString() };
  });
  return { files: await Promise.all(files) };
}

const faultIn = (file: string, message: string): Fault => ({
  file: file === '' ? '.' : file,
  line: 1,
  column: 1,
  message,
});
