/** What `modelhook doctor` looks at in the config repository. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { type Fault, formatFault } from '../core/errors.ts';
import type { Policy, PolicySet } from '../core/policy.ts';
import { shortSha } from '../core/ref-event.ts';
import type { Finding } from '../forge/forge.ts';
import { endAllGit } from '../git/git.ts';
import { createLog } from '../telemetry/log.ts';
import { count, failure, fault, good, LIMIT, type Section, within } from './doctor-findings.ts';

/** The faults of policies that are listed; `modelhook validate` lists all. */
const LISTED = 20;
/** The same of warnings, which keep no policy from being used. */
const LISTED_WARNINGS = 5;

/**
 * Reads the policies as the controller would, into a folder of its own: the cache may be a running controller's.
 * @returns also the policies, null where they cannot be used, and the repositories that one names without a wildcard
 */
export async function checkPolicies(
  config: Config,
  limit = LIMIT,
): Promise<{ section: Section; repositories: string[]; policies: readonly Policy[] | null }> {
  const section = (findings: Finding[]): Section => ({
    title: 'Policies',
    forge: null,
    cluster: null,
    findings,
  });
  const { repository: about, branch } = config.policies;
  const cache = mkdtempSync(join(tmpdir(), 'modelhook-doctor-'));
  try {
    const { composePolicies } = await import('../compose.ts');
    const policies = composePolicies({ ...config, cache }, createLog('silent'));
    await within(limit, policies.refresh());
    const current = policies.current();
    const { faults, head } = policies.status();
    const at = `${shortSha(head ?? '')}, the head of ${branch}`;
    const warnings = placed('warning', policies.warnings(), LISTED_WARNINGS, 'change it');
    if (current) {
      const message = `${count(current.policies.length, 'policy', 'policies')} at ${at}`;
      return {
        section: section([good(about, message), ...warnings]),
        repositories: repositoriesOf(current),
        policies: current.policies,
      };
    }
    const sum = fault(
      about,
      `${at} has ${count(faults.length, 'fault')}, so it is not used`,
      'correct what follows',
    );
    const listed = placed('fault', faults, LISTED, 'correct it');
    return { section: section([sum, ...listed, ...warnings]), repositories: [], policies: null };
  } catch (error) {
    const fix = 'check policies.repository, and what lets modelhook in there';
    return {
      section: section([failure(about, 'the policies cannot be read', error, fix)]),
      repositories: [],
      policies: null,
    };
  } finally {
    // What took too long is still at work in the folder.
    endAllGit();
    rmSync(cache, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** @returns a finding for each of the first so many, and one that counts the rest */
function placed(state: 'fault' | 'warning', found: readonly Fault[], limit: number, deed: string): Finding[] {
  const listed = found.slice(0, limit).map(
    (each): Finding => ({
      about: formatFault({ ...each, message: '' }).replace(/: $/, ''),
      state,
      message: each.message,
      fix: `${deed} and push; modelhook validate checks it before`,
    }),
  );
  const more = found.length - listed.length;
  if (more === 0) return listed;
  const rest: Finding = {
    about: 'policies',
    state,
    message: `${count(more, `more ${state}`)}`,
    fix: 'modelhook validate lists all',
  };
  return [...listed, rest];
}

const repositoriesOf = ({ policies }: PolicySet): string[] =>
  policies
    .flatMap(({ match }) => match.repositories.include)
    .filter(({ literals }) => literals.length === 0)
    .map(({ pattern }) => pattern);
