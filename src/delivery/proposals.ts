/** The branches that pull requests come from: one a target, with one commit of ours for the newest rollout. */
import { type Identity, importCommits } from '../git/fast-import.ts';
import { GitError, git } from '../git/git.ts';
import type { Mirror } from '../git/mirror.ts';
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
}

/** What a branch adds to the base. */
export interface Proposal {
  /** null: there is no such branch. */
  tip: string | null;
  /** The rollouts whose commits it has. */
  rollouts: ReadonlySet<string>;
  /** Whether it has commits that are not ours. */
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

export function createProposals({ name, author, mirror, now }: ProposalsOptions): Proposals {
  /** When a branch was pushed, by its name, while that is not long ago. */
  const pushedAt = new Map<string, number>();

  return {
    fetch: () => mirror.fetch([`+refs/heads/${PREFIX}*:${PROPOSALS}*`]),

    async read(head, base) {
      const tip = await mirror.resolve(`${PROPOSALS}${head.slice(PREFIX.length)}`);
      if (tip === null) return { tip, rollouts: new Set(), isTouched: false };
      const format = `--format=%H%x09%(trailers:key=${ROLLOUT_TRAILER},valueonly,separator=%x20)`;
      const output = await git(['log', format, tip, `^${base}`, '--'], { dir: mirror.dir });
      const commits = output.toString().split('\n').filter(Boolean);
      const rollouts = commits.map((line) => line.split('\t')[1]?.trim() ?? '');
      return { tip, rollouts: new Set(rollouts.filter(Boolean)), isTouched: rollouts.includes('') };
    },

    async isOutdated({ tip, isTouched }, path, base) {
      if (tip === null || isTouched) return false;
      const output = await git(['merge-base', '--', tip, base], { dir: mirror.dir });
      const commits = [output.toString().trim(), base];
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
      const refspec = `+${commit}:refs/heads/${head}`;
      try {
        await git(['push', '--porcelain', '--no-verify', lease, '--', remote.url, refspec], {
          dir: mirror.dir,
          remote,
        });
      } catch (error) {
        throw error instanceof GitError && rejection(error)?.isFinal ? refusedBy(name, error) : error;
      }
      pushedAt.set(head, now());
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

/** One branch a target. */
export const headOf = ({ target: { cluster, namespace, name } }: Errand): string =>
  `${PREFIX}${cluster}/${namespace}/${name}`;
