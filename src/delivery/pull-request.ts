/**
 * Delivery by pull request: one branch and one request a target, made anew for every rollout until people have merged
 * or closed it. Each pass looks at the branch, the base and the request, and does what is missing, so that a pass that
 * ended halfway is only another state to go on from.
 */
import { StalledError, WaitingError } from '../core/errors.ts';
import { readManaged } from '../core/inference-service.ts';
import { shortSha } from '../core/ref-event.ts';
import type { PullRequestReference } from '../core/rollout.ts';
import type { PullRequest, PullRequests } from '../forge/forge.ts';
import type { Identity } from '../git/fast-import.ts';
import type { Mirror } from '../git/mirror.ts';
import type { Log } from '../telemetry/log.ts';
import { lastWord, withManifest } from './outcome.ts';
import { judge } from './ownership.ts';
import { createProposals, headOf, PREFIX } from './proposals.ts';
import { needlessText, supersededText, textOf, titleOf } from './pull-request-text.ts';
import type { DeliveryOutcome, DeliveryTarget, Errand, Settled, StillWanted } from './target.ts';
import { type Entry, readTree, type Tree } from './tree.ts';

export interface PullRequestTargetOptions {
  /** The GitOps repository's key in modelhook.yaml. */
  name: string;
  /** Its id. */
  repository: string;
  /** The branch that requests go to. */
  branch: string;
  author: Identity;
  /** Of its own: pushes to the branch itself use another at the same time. */
  mirror: Mirror;
  pullRequests: PullRequests;
  /** Milliseconds since the epoch. */
  now: () => number;
  log: Log;
}

/** How soon a branch is looked for again that was pushed a moment ago. */
const LOOK_AGAIN = 30_000;

/** So many that wait already are asked for one by one, which costs less than a list. */
const FEW = 5;

type IsWanted = () => Promise<boolean>;

/** What a pass found. */
interface Situation {
  /** The head of the base. */
  base: string;
  tree: Tree;
  open: readonly PullRequest[];
}

export function createPullRequestTarget(options: PullRequestTargetOptions): DeliveryTarget {
  const { name, repository, branch, mirror, pullRequests, log } = options;
  const proposals = createProposals(options);

  async function look(batch: readonly Errand[]): Promise<Situation> {
    // In this order: a request that was merged in between is then no longer open, and its merge is looked for.
    const isFew = batch.length <= FEW && batch.every(({ pullRequest }) => pullRequest !== null);
    const open = isFew ? [] : await pullRequests.listOpen(repository, PREFIX);
    await proposals.fetch();
    const base = await mirror.fetchBranch(branch);
    if (base === null)
      // Not for good: a server that answers something else than Git shows no branch either.
      throw new Error(
        `${name} has no branch "${branch}" to make a pull request into; push a first commit to it, or correct gitops in modelhook.yaml`,
      );
    const paths = batch.map(({ path }) => path);
    return { base, tree: await readTree(mirror, base, paths), open };
  }

  async function settle(errand: Errand, situation: Situation, isWanted: IsWanted): Promise<DeliveryOutcome> {
    const request = await requestOf(errand, situation);
    if (request && !isOpen(request)) {
      const end = await endOf(errand, request);
      // It was merged before this version was in it.
      return end ?? settle({ ...errand, pullRequest: null }, situation, isWanted);
    }
    const judgement = judge(errand, situation.tree.at(errand.path), name);
    const outcome = lastWord(judgement, errand.path);
    if (outcome?.kind === 'failed') return outcome;
    if (request && !isAbout(errand, request)) return outcome ?? leftTo(request);
    if (outcome) return (request && (await withdraw(errand, request, isWanted))) ?? outcome;
    if (!(await isWanted())) return { kind: 'dropped' };
    return propose(withManifest(errand, judgement), situation.base, request);
  }

  const isOpen = ({ state, base }: PullRequest): boolean => state === 'open' && base === branch;

  /** A request that deploys what another ref has brought since then is not a removal's to change. */
  const isAbout = (errand: Errand, { number, text }: PullRequest): boolean =>
    errand.manifest !== null ||
    errand.pullRequest?.number === number ||
    errand.commits.some((commit) => text.includes(commit));

  const leftTo = ({ label }: PullRequest): DeliveryOutcome => ({
    kind: 'cancelled',
    message: `Cancelled: ${label} brings another version, so it stays`,
  });

  /** @returns the open request of an errand's branch; else the one that it waited for, whatever became of that */
  async function requestOf(errand: Errand, { open }: Situation): Promise<PullRequest | undefined> {
    const { pullRequest: known } = errand;
    const head = headOf(errand);
    const listed = open.find((each) => each.head === head && each.base === branch);
    // A list may lag behind.
    return listed ?? (known === null ? undefined : pullRequests.get(repository, known.number));
  }

  /**
   * Closes a request that has nothing left to merge.
   * @returns what became of it, where it was merged since it was listed; null else
   */
  async function withdraw(
    errand: Errand,
    listed: PullRequest,
    isWanted: IsWanted,
  ): Promise<DeliveryOutcome | null> {
    const request = await pullRequests.get(repository, listed.number);
    if (request.state === 'merged') return endOf(errand, request);
    if (!isOpen(request) || !(await isWanted())) return null;
    await comment(request, needlessText(name, errand.path));
    await pullRequests.edit(repository, request.number, { state: 'closed' });
    log.info({ gitops: name, pullRequest: request.url }, 'pull request closed: nothing is left to merge');
    return null;
  }

  /**
   * @returns how a rollout ends whose request is no longer open, or goes elsewhere; null where what was merged was another
   *   version of the model: a merge and our push may cross
   */
  async function endOf(errand: Errand, request: PullRequest): Promise<DeliveryOutcome | null> {
    const { label, state, base, mergeCommit } = request;
    const cancelled = (why: string): DeliveryOutcome => ({
      kind: 'cancelled',
      message: `Cancelled: ${label} ${why}`,
    });
    if (base !== branch) return cancelled(`goes to ${base} now, not to ${branch}`);
    if (state === 'closed') return cancelled('was closed without being merged');
    const { path } = errand;
    // The branch was fetched before we knew of the merge.
    const fetched = await mirror.fetchBranch(branch);
    // A branch that was written anew since then has it no more.
    const merged = mergeCommit && (await mirror.resolve(`${mergeCommit}^{commit}`));
    const entry = (await readTree(mirror, merged || fetched, [path])).at(path);
    if (entry.kind === 'file' && isOther(entry.text, errand)) return null;
    return mergedOf(errand, request, entry) ?? cancelled(`was merged without ${what(errand)}`);
  }

  const what = ({ path, manifest }: Errand): string => (manifest === null ? `removing ${path}` : path);

  /** @returns what a merge brought; null where it left out what the request was for */
  function mergedOf(
    { path, manifest }: Errand,
    { label, mergeCommit }: PullRequest,
    entry: Entry,
  ): DeliveryOutcome | null {
    const receipt = { commit: mergeCommit, path };
    if (manifest === null) {
      if (entry.kind !== 'nothing') return null;
      return { kind: 'removed', receipt, message: `Removed from ${name} with ${label}` };
    }
    if (entry.kind !== 'file') return null;
    const how = mergeCommit
      ? `Committed ${shortSha(mergeCommit)} to ${name} with ${label}`
      : `Merged ${label} into ${name}`;
    const message = entry.text === manifest ? how : `${how}, changed by its reviewers`;
    return { kind: 'delivered', receipt, message, manifest: entry.text };
  }

  /** Brings branch and request to where this errand wants them. */
  async function propose(
    errand: Errand,
    base: string,
    open: PullRequest | undefined,
  ): Promise<DeliveryOutcome> {
    const head = headOf(errand);
    const proposal = await proposals.read(head, base);
    const { tip, isTouched, rollouts } = proposal;
    if (errand.pullRequest !== null && tip === null) return abandon(errand, head, errand.pullRequest);
    const isThere = rollouts.has(errand.rolloutId);
    if (!isThere || (await proposals.isOutdated(proposal, errand.path, base)))
      // What people added to our branch stays below what we add.
      await proposals.push(errand, head, tip, open && tip !== null && isTouched ? tip : base);
    const { number, label, url } = await ask(errand, head, isThere ? open : await stillOpen(open));
    const pullRequest = { number, label, url };
    return { kind: 'proposed', pullRequest, message: waitingFor(pullRequest) };
  }

  /** Somebody deleted the branch: on most forges that closes the request as well. */
  async function abandon(
    errand: Errand,
    head: string,
    known: PullRequestReference,
  ): Promise<DeliveryOutcome> {
    if (proposals.isYoung(head)) throw new WaitingError(waitingFor(known), LOOK_AGAIN);
    const request = await pullRequests.get(repository, known.number);
    // Forges delete the branches of what was merged.
    const end = isOpen(request) ? null : await endOf(errand, request);
    if (end !== null) return end;
    await pullRequests.edit(repository, known.number, { state: 'closed' });
    return { kind: 'cancelled', message: `Cancelled: the branch of ${known.label} was deleted` };
  }

  /** A request may have been merged while its branch was pushed: then the next one is asked for. */
  async function stillOpen(request: PullRequest | undefined): Promise<PullRequest | undefined> {
    if (!request) return undefined;
    const now = await pullRequests.get(repository, request.number);
    return isOpen(now) ? now : undefined;
  }

  const waitingFor = ({ label }: PullRequestReference): string =>
    `Waiting for ${label} to be merged into ${branch} of ${name}`;

  /** Opens the request, or makes the open one say what it is about now. What people wrote since then stays. */
  async function ask(errand: Errand, head: string, open: PullRequest | undefined): Promise<PullRequest> {
    const words = { title: titleOf(errand), text: textOf(errand) };
    if (!open) {
      const opened = await pullRequests.open(repository, { head, base: branch, ...words });
      log.info({ gitops: name, rollout: errand.rolloutId, pullRequest: opened.url }, 'pull request opened');
      return opened;
    }
    // Once this rollout waits for it, it says so, whatever people make of its words.
    if (errand.pullRequest?.number === open.number || open.text.includes(errand.rolloutId)) return open;
    // In this order: where it is cut off between the two, reviewers are told twice, and not never.
    await comment(open, supersededText(errand));
    await pullRequests.edit(repository, open.number, words);
    log.info({ gitops: name, rollout: errand.rolloutId, pullRequest: open.url }, 'pull request updated');
    return open;
  }

  /** A token that may not comment keeps nobody from merging. */
  async function comment({ number, url }: PullRequest, text: string): Promise<void> {
    try {
      await pullRequests.comment(repository, number, text);
    } catch (error) {
      if (!(error instanceof StalledError)) throw error;
      log.warn({ gitops: name, pullRequest: url, reason: error.message }, 'the pull request has no comment');
    }
  }

  /** Settles one after the other, as long as it is theirs alone what fails. */
  async function settleAll(
    batch: readonly Errand[],
    stillWanted: StillWanted,
    settled: Settled,
  ): Promise<void> {
    const situation = await look(batch);
    let failures = 0;
    for (const delivery of batch) {
      const { rolloutId } = delivery;
      const isWanted = async () => (await stillWanted([rolloutId])).has(rolloutId);
      try {
        settled(rolloutId, await settle(delivery, situation, isWanted));
        failures = 0;
      } catch (error) {
        // What a person must mend is this one's alone; what fails again with the next is the forge's or the server's.
        failures = error instanceof StalledError ? 0 : failures + 1;
        if (error instanceof WaitingError || failures > 1) throw error;
        settled(rolloutId, failedBy(error, delivery));
      }
    }
  }

  return {
    async deliver(batch, stillWanted, settled) {
      const open = new Map(batch.map((errand) => [errand.rolloutId, errand]));
      try {
        await settleAll(batch, stillWanted, (rolloutId, outcome) => {
          open.delete(rolloutId);
          settled(rolloutId, outcome);
        });
      } catch (error) {
        // Those that come next would only fail like this one.
        for (const [rolloutId, errand] of open) settled(rolloutId, failedBy(error, errand));
      }
    },
  };
}

/** What only waits for people outlives a setting that is wrong for a while: it may still be merged. */
function failedBy(error: unknown, { pullRequest }: Errand): DeliveryOutcome {
  const lasts = error instanceof StalledError && pullRequest === null;
  return {
    kind: 'failed',
    error: error instanceof StalledError && !lasts ? new Error(error.message) : error,
  };
}

/** Whether what was merged is another version than the one that is delivered, changed by people or not. */
function isOther(text: string, { manifest, revision, sha }: Errand): boolean {
  if (manifest === null || text === manifest) return false;
  const present = readManaged(text);
  return present.sha !== sha || present.revision !== revision;
}
