/** Policies from a branch of the config repository: a good head comes into force, a bad one never does. */
import { type Fault, formatFault, messageOf, StalledError } from '../core/errors.ts';
import type { PolicySet } from '../core/policy.ts';
import { loadPolicies } from '../core/policy-files.ts';
import type { KnownNames } from '../core/policy-references.ts';
import { git } from '../git/git.ts';
import type { Mirror } from '../git/mirror.ts';
import type { Log } from '../telemetry/log.ts';
import { fewerFaults } from './examination.ts';
import { judgeApart } from './examination-thread.ts';
import type { PoliciesStatus, PolicySource } from './policies.ts';
import { readRevision } from './revision-files.ts';

/** Keeps the revision in force from being tidied away, whatever happens to the branch. */
const IN_FORCE_REF = 'refs/modelhook/in-force';

/** Characters of policies that are loaded at once: a thread would take as long to start. */
const SMALL = 64 * 1024;

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
  /** Whether it was given up, which another time may go well. */
  exceeded: boolean;
}

export function createConfigRepository(options: ConfigRepositoryOptions): ConfigRepository {
  const { repository, branch, directory, mirror, known, inForce, log } = options;
  let current: PolicySet | null = null;
  let ofHead: readonly Fault[] = [];
  let isHeadOpen = false;
  let status: PoliciesStatus = {
    repository,
    branch,
    inForce: null,
    head: null,
    faults: [],
    unreachable: null,
  };

  /**
   * Reads and validates the policies at a commit. Loading them stops everything else for as long as it takes, so a thread
   * tries that first.
   * @param wasInForce whether it was tried before
   */
  async function load(revision: string, wasInForce: boolean): Promise<Loaded> {
    const read = await readRevision(mirror.dir, revision, directory);
    if ('faults' in read) return bad(read);
    const { files } = read;
    const isSmall = files.reduce((sum, { text }) => sum + text.length, 0) <= SMALL;
    const found = wasInForce || isSmall ? null : await judgeApart({ revision, files }, known);
    if (found !== null) return bad(found);
    const { policies, faults, warnings } = loadPolicies(files, revision, { known });
    for (const warning of warnings) log.warn({ revision, warning: formatFault(warning) }, 'policy warning');
    return { policies, faults: fewerFaults(faults), warnings, exceeded: false };
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
    current = (await load(revision, true)).policies;
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
      if (head === status.head && status.unreachable === null && !isHeadOpen) return;
      const { policies, faults, warnings, exceeded } = await load(head, head === (await inForce.get()));
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
      isHeadOpen = exceeded;
      status = { ...status, head, faults, unreachable: null, inForce: current?.revision ?? null };
    },
  };
}

const bad = ({ faults, exceeded = false }: { faults: readonly Fault[]; exceeded?: boolean }): Loaded => ({
  policies: null,
  faults: [...faults],
  warnings: [],
  exceeded,
});
