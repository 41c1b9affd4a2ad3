/**
 * Heads of the config repository → what they are worth: the status `modelhook/policies` on their commits, and one comment
 * on each pull request (specification section 8). Rows are the queue: a head is examined when it is new, when it moves, and
 * when what it is compared with does. The head of the branch itself tells how far its change is carried out.
 */
import type { CommitStatus } from '../core/commit-status.ts';
import { messageOf, StalledError, WaitingError } from '../core/errors.ts';
import { parseRef } from '../core/ref-event.ts';
import { conclude } from '../core/review-report.ts';
import { carriedOutStatus } from '../core/review-text.ts';
import type { Forge } from '../forge/forge.ts';
import type { PolicyReviewer, PolicySource } from '../policies/policies.ts';
import type { Review, ReviewDraft, ReviewOutcome, ReviewRecord, Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import { forgeOf } from './resolve.ts';
import { backoff, type Persist } from './retry.ts';
import type { Stage } from './stage.ts';

const CONTEXT = 'modelhook/policies';
/** How soon a head is looked at again that is on its way into force. */
const SOON = 2000;

export interface ReviewDeps {
  store: Store;
  forges: ReadonlyMap<string, Forge>;
  policies: PolicySource;
  reviewer: PolicyReviewer;
  /** The branch whose head comes into force. */
  configRef: { repository: string; ref: string };
  /** The base of links. */
  publicUrl: () => string;
  /** Milliseconds between two looks at what is open, where nobody tells of a change. */
  interval: number;
  persist: Persist;
  /** Looks for work now. */
  wake: () => void;
  now: () => number;
  log: Log;
}

export interface ReviewStage extends Stage {
  /** Something about the config repository's requests or branches may have changed. */
  look(): void;
}

export function createReview(deps: ReviewDeps): ReviewStage {
  const { store, forges, policies, reviewer, configRef, publicUrl, interval, persist, wake, now, log } = deps;
  const { repository } = configRef;
  /** When to look what is open, in milliseconds since the epoch; 0: now. */
  let lookAt = 0;
  /** Until then a listing may not show yet what somebody told of. */
  let lagsUntil = 0;
  let failures = 0;
  /** The head of the branch when it was last looked at. */
  let seenHead: string | null = null;
  let timer: NodeJS.Timeout | undefined;

  /** Takes what is open now. */
  async function look(): Promise<void> {
    const at = now();
    lookAt = lagsUntil > at ? lagsUntil : at + interval;
    if (lookAt === lagsUntil) lagsUntil = 0;
    try {
      const { head } = policies.status();
      const drafts = await openHeads();
      await persist(() => store.reviews.seen([...drafts, ...(head === null ? [] : [ownHead(head)])]));
      seenHead = head;
      failures = 0;
    } catch (error) {
      failures += 1;
      lookAt = now() + Math.min(againAfter(error, failures), interval);
      log.warn(
        { repository, reason: messageOf(error) },
        'what is open in the config repository cannot be listed; trying again',
      );
    }
    // No row tells when that is.
    clearTimeout(timer);
    timer = setTimeout(wake, Math.max(lookAt - now(), 0)).unref();
  }

  /** Requests into the branch; where the forge has none, all other branches. */
  async function openHeads(): Promise<ReviewDraft[]> {
    const { reviews, repositories } = forgeOf(forges, repository);
    if (reviews === null) {
      const refs = await repositories.listRefs(repository);
      return refs
        .filter(({ ref }) => ref !== configRef.ref && parseRef(ref)?.kind === 'branch')
        .map(({ ref, sha }) => branchHead(ref, sha));
    }
    const requests = await reviews.listOpen(repository, parseRef(configRef.ref)?.name ?? '');
    return requests.map(({ number, label, url, head, headRef, statusRef }) => ({
      subject: `request ${number}`,
      number,
      label,
      url,
      head,
      headRef,
      statusRef,
    }));
  }

  /** Each has a row of its own: the rollouts of one may be under way when the next is merged. */
  const ownHead = (head: string): ReviewDraft => ({
    ...branchHead(configRef.ref, head),
    subject: `${configRef.ref} ${head}`,
  });
  const isOwn = ({ subject }: Review): boolean => subject.startsWith(`${configRef.ref} `);

  async function review(head: Review): Promise<void> {
    try {
      const { outcome, record } = isOwn(head) ? await tellOwn(head) : await examine(head);
      await persist(() => store.reviews.done(head, outcome, record));
    } catch (error) {
      const { label, attempts } = head;
      const isAwaited = error instanceof WaitingError;
      log[isAwaited ? 'debug' : 'warn'](
        { repository, head: label, attempts: attempts + 1, reason: messageOf(error) },
        'a head of the config repository is not reviewed yet; trying again',
      );
      // What people must mend they may mend at any time, and nothing else would tell of that.
      const after = error instanceof StalledError ? interval : againAfter(error, attempts);
      await persist(() => store.reviews.postponed(head, now() + after));
    }
  }

  async function examine(head: Review): Promise<Told> {
    const base = policies.current()?.revision ?? null;
    // Right after a start. What is in force comes into force again without a change, so nothing would be looked at anew.
    if (base === null && policies.status().head === null)
      throw new WaitingError(`${repository} is not read yet`, SOON);
    // It would take as long again, whatever it is compared with, and others wait.
    if (head.outcome?.exceeded && head.outcome.head === head.head)
      return { outcome: head.outcome, record: null };
    const outcome = { head: head.head, base, exceeded: false, at: now() };
    // A branch that leads where the policies in force are, or a request that was just merged and is listed still: their own
    // status speaks for that commit.
    if (head.head === base)
      return { outcome: { ...outcome, state: 'success', description: 'in force' }, record: NO_RECORD };
    const [deployed, refs] = await Promise.all([
      store.policyChanges.deployed(),
      store.policyChanges.knownRefs(),
    ]);
    const began = now();
    const { reviews } = forgeOf(forges, repository);
    const place = reviews && {
      limit: reviews.commentLimit,
      pageUrl: pageOf(head),
      filesUrl: reviews.filesUrl(repository, head.head),
    };
    const found = await reviewer.examine(
      { sha: head.head, ref: head.headRef },
      base,
      { deployed, refs },
      head.number === null ? null : place,
    );
    const { state, description, comment, text } = found.report;
    const took = now() - began;
    log.info(
      { repository, head: head.label, sha: head.head, state, milliseconds: took },
      'policies reviewed',
    );
    await writeStatus(head, state, description);
    if (head.number !== null && reviews !== null && comment !== null)
      await reviews.keepComment(repository, head.number, comment);
    const exceeded = found.kind === 'faults' && found.exceeded;
    return { outcome: { ...outcome, state, description, exceeded }, record: { text, took } };
  }

  /** Says of the branch's own head whether it is in force, and how far its rollouts are. */
  async function tellOwn(head: Review): Promise<Told> {
    const { inForce, head: newest, faults } = policies.status();
    const outcome = { head: head.head, base: inForce, exceeded: false, at: now() };
    if (newest === head.head && faults.length > 0) {
      const { state, description, text } = conclude({ kind: 'faults', faults }, null).report;
      await writeStatus(head, state, description);
      return { outcome: { ...outcome, state, description }, record: { text, took: 0 } };
    }
    const current = policies.current();
    const isInForce = current?.revision === head.head;
    const isCarriedOut = (await store.policyChanges.carriedOut()) === head.head;
    const progress = await store.policyChanges.progress(head.head);
    // One before it goes on telling how far its rollouts are.
    const isPast = !isInForce && (head.outcome?.state === 'running' || progress.total > 0);
    if (!isPast && !(isInForce && isCarriedOut))
      throw new WaitingError(`${head.head} is not in force yet`, SOON);
    const { state, description } = carriedOutStatus(isInForce ? current.policies.length : null, progress);
    await writeStatus(head, state, description);
    return { outcome: { ...outcome, state, description }, record: NO_RECORD };
  }

  /** After an unknown outcome, and after a restart, it may be there already. */
  async function writeStatus(head: Review, state: CommitStatus['state'], description: string): Promise<void> {
    const status = { context: CONTEXT, state, description, url: pageOf(head) };
    const { statuses } = forgeOf(forges, repository);
    if (await statuses.holds(repository, head.head, status)) return;
    await statuses.write(repository, head.head, head.statusRef, status);
  }

  const pageOf = ({ id }: Review): string => `${publicUrl()}/reviews/${id}`;

  return {
    name: 'review',
    // An examination keeps a processor busy for seconds.
    concurrency: 1,
    yields: true,
    async claim() {
      const isNews = failures === 0 && policies.status().head !== seenHead;
      if (isNews || lookAt <= now()) return [look];
      // Without policies in force there is nothing to compare with yet, but faults can be told.
      const [head] = await store.reviews.claim(1);
      return head ? [() => review(head)] : [];
    },
    look() {
      lookAt = 0;
      lagsUntil = now() + forgeOf(forges, repository).repositories.lag;
    },
  };
}

/** What was told of a head. */
interface Told {
  outcome: ReviewOutcome;
  /** null: that of the last examination goes on. */
  record: ReviewRecord | null;
}

const NO_RECORD: ReviewRecord = { text: null, took: 0 };

const branchHead = (ref: string, sha: string): ReviewDraft => ({
  subject: ref,
  number: null,
  label: parseRef(ref)?.name ?? ref,
  url: null,
  head: sha,
  headRef: ref,
  statusRef: ref,
});

const againAfter = (error: unknown, attempts: number): number =>
  error instanceof WaitingError ? error.after : backoff(attempts);
