/** The branches that pull requests come from: one a target, with one commit of ours for the newest rollout. */

import type { RefMove } from '../core/ref-event.ts';
import { type Identity, importCommits } from '../git/fast-import.ts';
import { GitError, git } from '../git/git.ts';
import type { Mirror } from '../git/mirror.ts';
import type { Log } from '../telemetry/log.ts';
import { commitMessage, ROLLOUT_TRAILER } from './commit-message.ts';
import { refusedBy, rejection } from './refusal.ts';
import type { Errand } from './target.ts';

export interface ProposalsOptions {
  /** The GitOps repository's key in modelhook.yaml. */
  name: string;
  author: Identity;
  mirror: Mirror;
  /** Milliseconds since the epoch. */
  now: () => number;
  log: Log;
}

/** What a branch adds to the base. */
export interface Proposal {
  /** null: there is no such branch. */
  tip: string | null;
  /** The rollouts whose commits it has. */
  rollouts: ReadonlySet<string>;
  /** Whether people have added commits to ours, or changed ours. */
  isTouched: boolean;
}

export interface Proposals {
  /** Brings all of them up to date. */
  fetch(): Promise<void>;
  /** @param base a commit that the mirror has */
  read(head: string, base: string): Promise<Proposal>;
  /** @returns whether the file changed on the base since a branch of ours alone was made: it could not be merged */
  isOutdated(proposal: Proposal, path: string, base: string): Promise<boolean>;
  /**
   * Makes a branch the commit of an errand.
   * @param was what it was when it was read: where it moved since then, the push is refused and tried again
   * @param parent what the commit stands on
   */
  push(errand: Errand, head: string, was: string | null, parent: string): Promise<void>;
  /** @returns whether this process pushed it so lately that a forge's replicas may not show it */
  isYoung(head: string): boolean;
}

/** All branches of requests begin so: people see whose they are. */
export const PREFIX = 'modelhook/';
/** Where the mirror keeps them. */
const PROPOSALS = 'refs/modelhook/proposals/';
const DRAFT = 'refs/modelhook/proposal-draft';
/** For how long a branch that was just pushed may not show. */
const LAG = 30_000;

export function createProposals({ name, author, mirror, now, log }: ProposalsOptions): Proposals {
  /** When a branch was pushed, by its name, while that is not long ago. */
  const pushedAt = new Map<string, number>();

  return {
    fetch: () => mirror.fetch([`+refs/heads/${PREFIX}*:${PROPOSALS}*`]),

    async read(head, base) {
      const tip = await mirror.resolve(`${PROPOSALS}${head.slice(PREFIX.length)}`);
      if (tip === null) return { tip, rollouts: new Set(), isTouched: false };
      const format = `--format=%ce%x09%(trailers:key=${ROLLOUT_TRAILER},valueonly,separator=%x20)`;
      const output = await git(['log', '--topo-order', format, tip, `^${base}`, '--'], { dir: mirror.dir });
      const commits = output
        .toString()
        .split('\n')
        .filter(Boolean)
        .map((line) => {
          const [committer = '', rollout = ''] = line.split('\t');
          // Who amends our commit keeps its trailer.
          return { rollout: rollout.trim(), isOurs: rollout.trim() !== '' && committer === author.email };
        });
      // Below our first commit is what the base once was: it must not come back with the branch.
      const first = commits.findLastIndex(({ isOurs }) => isOurs);
      const above = first === -1 ? commits : commits.slice(0, first);
      return {
        tip,
        rollouts: new Set(commits.map(({ rollout }) => rollout).filter(Boolean)),
        isTouched: above.some(({ isOurs }) => !isOurs),
      };
    },

    async isOutdated({ tip, isTouched }, path, base) {
      if (tip === null || isTouched) return false;
      const fork = await commonAncestor(mirror.dir, tip, base);
      if (fork === null) return true;
      const commits = [fork, base];
      const [before, after] = await Promise.all(commits.map((commit) => mirror.resolve(`${commit}:${path}`)));
      return before !== after;
    },

    async push(errand, head, was, parent) {
      const files = [{ path: errand.path, text: errand.manifest }];
      const draft = { message: commitMessage(errand), files };
      const at = Math.floor(now() / 1000);
      const [commit] = await importCommits(mirror.dir, DRAFT, parent, author, at, [draft]);
      const remote = await mirror.remote();
      const lease = `--force-with-lease=refs/heads/${head}:${was ?? ''}`;
      // A plus sign here would switch the lease off.
      const refspec = `${commit}:refs/heads/${head}`;
      try {
        await git(['push', '--porcelain', '--no-verify', lease, '--', remote.url, refspec], {
          dir: mirror.dir,
          remote,
        });
      } catch (error) {
        throw error instanceof GitError && rejection(error)?.isFinal ? refusedBy(name, error) : error;
      }
      pushedAt.set(head, now());
      mirror.tidy((err) => log.warn({ gitops: name, err }, 'the mirror could not be tidied'));
    },

    isYoung(head) {
      const at = pushedAt.get(head);
      if (at === undefined) return false;
      if (now() - at < LAG) return true;
      pushedAt.delete(head);
      return false;
    },
  };
}

/** @returns null where two commits have nothing in common: the base was written anew */
async function commonAncestor(dir: string, one: string, other: string): Promise<string | null> {
  try {
    return (await git(['merge-base', '--', one, other], { dir })).toString().trim();
  } catch (error) {
    if (error instanceof GitError && error.code === 1) return null;
    throw error;
  }
}

/** One branch a target. */
export const headOf = ({ target: { cluster, namespace, name } }: Errand): string =>
  `${PREFIX}${cluster}/${namespace}/${name}`;

/** @returns whether a ref's move may be the end of a request to a branch: a merge of it, or its branch deleted */
export const mayEndRequest = ({ ref, after }: RefMove, branch: string): boolean =>
  ref === `refs/heads/${branch}` || (after === null && ref.startsWith(`refs/heads/${PREFIX}`));
