/**
 * Delivery to a GitOps repository: a bare mirror and fast-import, one commit a rollout, one push a batch
 * (docs/decisions/0005-git-without-a-work-tree.md).
 */
import { shortSha } from '../core/ref-event.ts';
import { type Identity, importCommits } from '../git/fast-import.ts';
import { GitError, git } from '../git/git.ts';
import type { Mirror } from '../git/mirror.ts';
import type { Log } from '../telemetry/log.ts';
import { commitMessage, ROLLOUT_TRAILER } from './commit-message.ts';
import { lastWord, withManifest } from './outcome.ts';
import { judge } from './ownership.ts';
import { refusedBy, rejection } from './refusal.ts';
import type { DeliveryOutcome, DeliveryTarget, Errand, StillWanted } from './target.ts';
import { readTree } from './tree.ts';

export interface GitopsOptions {
  /** Its key in modelhook.yaml. */
  name: string;
  branch: string;
  author: Identity;
  mirror: Mirror;
  /** Remembers over restarts the head up to which every outcome is stored. */
  base: { get(): Promise<string | null>; set(head: string): Promise<void> };
  /** Milliseconds since the epoch. */
  now: () => number;
  log: Log;
}

type Outcomes = Map<string, DeliveryOutcome>;

/** Keeps the commits of the push under way in the mirror; the branch as it is at the remote has a ref of its own. */
const DRAFT = 'refs/modelhook/draft';
/** How the base is remembered of a repository that had no commit. */
const EMPTY = 'empty';

export function createGitopsTarget(options: GitopsOptions): DeliveryTarget {
  const { name, branch, author, mirror, base, now, log } = options;
  /** Where the branch stands as far as we know; undefined: it is to be asked. */
  let head: string | null | undefined;
  /** Rollouts whose push ended without an answer: they may have landed, and nothing says so but their trailers. */
  const unanswered = new Set<string>();

  /** Asks where the branch stands, and finds what reached it though nobody told us. */
  async function learnHead(batch: readonly Errand[], outcomes: Outcomes): Promise<string | null> {
    const since = await base.get();
    const fetched = await mirror.fetchBranch(branch);
    for (const { rolloutId } of batch) unanswered.delete(rolloutId);
    if (since === null) await base.set(fetched ?? EMPTY);
    if (fetched !== null && since !== null && since !== fetched) {
      const landed = await landedSince(since === EMPTY ? null : since, fetched);
      for (const errand of batch) {
        const commit = landed.get(errand.rolloutId);
        if (commit) outcomes.set(errand.rolloutId, done(errand, commit));
      }
    }
    return fetched;
  }

  /** Rollouts whose commits are on the branch since a commit, by their trailer. */
  async function landedSince(since: string | null, until: string): Promise<Map<string, string>> {
    const from = since === null ? null : await mirror.resolve(`${since}^{commit}`);
    const range = from === null ? [until] : [until, `^${from}`];
    const format = `--format=%H%x09%(trailers:key=${ROLLOUT_TRAILER},valueonly,separator=%x20)`;
    const output = await git(['log', format, ...range, '--'], { dir: mirror.dir });
    const lines = output.toString().split('\n').filter(Boolean);
    return new Map(
      lines.flatMap((line): [string, string][] => {
        const [commit = '', rollout = ''] = line.split('\t');
        return rollout === '' ? [] : [[rollout.trim(), commit]];
      }),
    );
  }

  /**
   * The caller has stored what came of every batch before, so only what follows may need to be found again. Not so while
   * a push is unanswered: then the base stays, and the branch is asked once its rollouts come back.
   */
  async function rememberBase(batch: readonly Errand[]): Promise<void> {
    if (batch.some(({ rolloutId }) => unanswered.has(rolloutId))) head = undefined;
    if (head !== undefined && unanswered.size === 0) await base.set(head ?? EMPTY);
  }

  /** Delivers what has no outcome yet, until every one has. */
  async function deliver(
    batch: readonly Errand[],
    stillWanted: StillWanted,
    outcomes: Outcomes,
  ): Promise<void> {
    for (;;) {
      const { on, changes } = await decideOnTheBranch(batch, stillWanted, outcomes);
      if (changes.length === 0) return;
      const refusal = await commitAndPush(changes, on, outcomes);
      if (refusal === null) return;

      head = await learnHead(changes, outcomes);
      if (head !== on) {
        log.info({ gitops: name, head }, 'somebody else pushed in between; building on that');
        continue;
      }
      if (refusal.transient) throw refusal.error;
      return findCulprit(changes, refusal.error, stillWanted, outcomes);
    }
  }

  /**
   * Decides on the branch as it was at the last push, and where that makes a last word, on the branch as it is: only a
   * push would have found out that it has moved, and what is refused or unchanged needs none.
   */
  async function decideOnTheBranch(
    batch: readonly Errand[],
    stillWanted: StillWanted,
    outcomes: Outcomes,
  ): Promise<{ on: string | null; changes: Errand[] }> {
    const remembered = head;
    const decided: Outcomes = new Map();
    let changes: Errand[] = [];
    if (remembered !== undefined) changes = await decide(batch, remembered, stillWanted, outcomes, decided);
    const isLastWord = [...decided.values()].some(({ kind }) => kind !== 'dropped');
    const on = remembered === undefined || isLastWord ? await learnHead(batch, outcomes) : remembered;
    if (on === remembered) {
      for (const [rolloutId, outcome] of decided) outcomes.set(rolloutId, outcome);
      return { on, changes };
    }
    head = on;
    return { on, changes: await decide(batch, on, stillWanted, outcomes, outcomes) };
  }

  /** The head has not moved, so this is no race: the server refuses something of what we push. Halves tell what. */
  async function findCulprit(
    changes: readonly Errand[],
    error: GitError,
    stillWanted: StillWanted,
    outcomes: Outcomes,
  ): Promise<void> {
    const undecided = changes.filter(({ rolloutId }) => !outcomes.has(rolloutId));
    const [only, ...more] = undecided;
    if (only && more.length === 0) {
      outcomes.set(only.rolloutId, { kind: 'failed', error: refusedBy(name, error) });
      return;
    }
    const middle = Math.ceil(undecided.length / 2);
    await deliver(undecided.slice(0, middle), stillWanted, outcomes);
    await deliver(undecided.slice(middle), stillWanted, outcomes);
  }

  /**
   * Compares what has no outcome yet with what the branch holds.
   * @param decided where what needs no push gets its outcome
   * @returns those that change it, in order
   */
  async function decide(
    batch: readonly Errand[],
    on: string | null,
    stillWanted: StillWanted,
    outcomes: Outcomes,
    decided: Outcomes,
  ): Promise<Errand[]> {
    const open = batch.filter(({ rolloutId }) => !outcomes.has(rolloutId));
    const tree = await readTree(
      mirror,
      on,
      open.map(({ path }) => path),
    );
    const wanted = await stillWanted(open.map(({ rolloutId }) => rolloutId));
    const changes: Errand[] = [];
    for (const errand of open) {
      const { rolloutId, path } = errand;
      if (!wanted.has(rolloutId)) {
        decided.set(rolloutId, { kind: 'dropped' });
        continue;
      }
      const judgement = judge(errand, tree.at(path), name);
      const outcome = lastWord(judgement, path);
      if (outcome) decided.set(rolloutId, outcome);
      else {
        const change = withManifest(errand, judgement);
        tree.write(path, change.manifest);
        changes.push(change);
      }
    }
    return changes;
  }

  async function commitAndPush(
    changes: readonly Errand[],
    on: string | null,
    outcomes: Outcomes,
  ): Promise<{ error: GitError; transient: boolean } | null> {
    const at = Math.floor(now() / 1000);
    const drafts = changes.map((errand) => ({
      message: commitMessage(errand),
      files: [{ path: errand.path, text: errand.manifest }],
    }));
    const commits = await importCommits(mirror.dir, DRAFT, on, author, at, drafts);
    const tip = commits.at(-1);
    try {
      const remote = await mirror.remote();
      const refspec = `${tip}:refs/heads/${branch}`;
      // A branch that was rewound contains what we built on: without the lease, its removed commits would come back.
      const lease = `--force-with-lease=refs/heads/${branch}:${on ?? ''}`;
      await git(['push', '--porcelain', '--no-verify', lease, '--', remote.url, refspec], {
        dir: mirror.dir,
        remote,
      });
    } catch (error) {
      head = undefined; // whatever happened, the branch is asked before the next word is said about it
      const rejected = error instanceof GitError ? rejection(error) : null;
      if (error instanceof GitError && rejected) return { error, transient: !rejected.isFinal };
      for (const { rolloutId } of changes) unanswered.add(rolloutId);
      throw error;
    }
    head = tip;
    for (const [index, errand] of changes.entries())
      outcomes.set(errand.rolloutId, done(errand, commits[index] ?? null));
    log.info({ gitops: name, commits: commits.length, head: tip }, 'pushed');
    mirror.tidy((err) => log.warn({ gitops: name, err }, 'the mirror could not be tidied'));
    return null;
  }

  function done({ path, manifest }: Errand, commit: string | null): DeliveryOutcome {
    const receipt = { commit, path };
    const sha = shortSha(commit ?? '');
    return manifest === null
      ? { kind: 'removed', receipt, message: `Removed from ${name} with ${sha}` }
      : { kind: 'delivered', receipt, message: `Committed ${sha} to ${name}`, manifest };
  }

  return {
    async deliver(batch, stillWanted, settled) {
      const outcomes: Outcomes = new Map();
      try {
        await rememberBase(batch);
        await deliver(batch, stillWanted, outcomes);
      } catch (error) {
        // What we knew of the branch may be part of the failure.
        head = undefined;
        throw error;
      } finally {
        for (const [rolloutId, outcome] of outcomes) settled(rolloutId, outcome);
      }
    },
  };
}
