/** Looks at heads of the config repository that are not in force: of pull requests, and of branches. */
import type { KnownNames } from '../core/policy-references.ts';
import { shortSha } from '../core/ref-event.ts';
import { conclude } from '../core/review-report.ts';
import { GitBoundError, git } from '../git/git.ts';
import type { Mirror } from '../git/mirror.ts';
import type { Revision } from './examination.ts';
import { reviewApart } from './examination-thread.ts';
import type { PolicyReviewer } from './policies.ts';
import { readRevision } from './revision-files.ts';

export interface PolicyReviewerOptions {
  /** Of what is in force. */
  mirror: Mirror;
  /** For what is not: whoever opens a request decides what is in it. */
  heads: Mirror;
  directory: string;
  known: KnownNames;
}

/** Bytes that heads may take in the cache: each leaves behind what it had. */
const MOST_OF_HEADS = 256 * 1024 * 1024;

const CARRIED_OUT_REF = 'refs/modelhook/carried-out';

export function createPolicyReviewer({
  mirror,
  heads,
  directory,
  known,
}: PolicyReviewerOptions): PolicyReviewer {
  /** @returns null where it is not there any more, or cannot be read under today's rules */
  async function presentFiles(revision: string): Promise<Revision | null> {
    if ((await mirror.resolve(`${revision}^{commit}`)) === null) return null;
    const read = await readRevision(mirror.dir, revision, directory);
    return 'files' in read ? { revision, files: read.files } : null;
  }

  let isFirst = true;
  /** One after another, for nobody may read what is removed. */
  async function fetchHead(ref: string, sha: string): Promise<void> {
    await heads.removeOver(isFirst ? 0 : MOST_OF_HEADS);
    isFirst = false;
    try {
      await heads.fetchHead(ref, sha);
    } catch (error) {
      if (!(error instanceof GitBoundError)) throw error;
      const fix = 'where it holds large files, take them out of it';
      throw new Error(`${ref} cannot be fetched within a minute; ${fix}`, { cause: error });
    }
  }

  return {
    async examine({ sha, ref }, base, { deployed, refs }, place) {
      if (ref !== null) await fetchHead(ref, sha);
      const after = await readRevision(ref === null ? mirror.dir : heads.dir, sha, directory);
      if ('faults' in after) return conclude({ kind: 'faults', ...after }, place);
      const before = base === null ? null : await presentFiles(base);
      const input = {
        before,
        ...(base !== null && { uncompared: `not compared, as ${shortSha(base)} cannot be read any more` }),
        after: { revision: sha, files: after.files },
        ...{ known, deployed, refs },
      };
      return reviewApart(input, place);
    },

    async keep(revision) {
      await git(['update-ref', CARRIED_OUT_REF, revision], { dir: mirror.dir });
    },
  };
}
