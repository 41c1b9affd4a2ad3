/** What a judgement means for an errand. */
import type { Judgement } from './ownership.ts';
import type { DeliveryOutcome, Errand } from './target.ts';

/**
 * @param path the file in a GitOps repository; null: in a cluster
 * @returns how an errand ends that changes nothing; null where it goes on
 */
export function lastWord(judgement: Judgement, path: string | null): DeliveryOutcome | null {
  switch (judgement.kind) {
    case 'refuse':
      return { kind: 'failed', error: judgement.error };
    case 'leave':
      return { kind: 'cancelled', message: judgement.message };
    case 'keep': {
      const { manifest, message } = judgement;
      const receipt = { commit: null, path };
      return manifest === null
        ? { kind: 'removed', receipt, message }
        : { kind: 'delivered', receipt, message, manifest };
    }
    default:
      return null;
  }
}

/** @returns the errand with what it is to write */
export const withManifest = <Any extends Errand>(errand: Any, judgement: Judgement): Any =>
  judgement.kind === 'write' ? { ...errand, manifest: judgement.manifest } : errand;
