/** A delivery target in memory, which passes the same cases as the real ones (contract.ts). */
import { shortSha } from '../core/ref-event.ts';
import { lastWord, withManifest } from './outcome.ts';
import { judge } from './ownership.ts';
import type { DeliveryOutcome, DeliveryTarget, Errand } from './target.ts';
import type { Entry } from './tree.ts';

export interface FakeTarget extends DeliveryTarget {
  files: Map<string, string>;
  /** The rollouts of every batch that was asked for, in order. */
  batches: string[][];
  /** Set: everything fails with it. */
  failure: Error | null;
}

export function createFakeTarget(name: string): FakeTarget {
  const files = new Map<string, string>();
  const commitOf = ({ rolloutId }: Errand) =>
    Buffer.from(rolloutId).toString('hex').padEnd(40, '0').slice(0, 40);
  function change(errand: Errand): DeliveryOutcome {
    const { path, manifest } = errand;
    const commit = commitOf(errand);
    const receipt = { commit, path };
    if (manifest === null) {
      files.delete(path);
      return { kind: 'removed', receipt, message: `Removed from ${name} with ${shortSha(commit)}` };
    }
    files.set(path, manifest);
    return { kind: 'delivered', receipt, message: `Committed ${shortSha(commit)} to ${name}`, manifest };
  }
  const fake: FakeTarget = {
    files,
    batches: [],
    failure: null,
    async deliver(batch, stillWanted, settled) {
      fake.batches.push(batch.map(({ rolloutId }) => rolloutId));
      const wanted = await stillWanted(batch.map(({ rolloutId }) => rolloutId));
      for (const errand of batch) {
        const { rolloutId, path } = errand;
        const text = files.get(path);
        const entry: Entry = text === undefined ? { kind: 'nothing' } : { kind: 'file', text };
        const judgement = judge(errand, entry, name);
        if (fake.failure) settled(rolloutId, { kind: 'failed', error: fake.failure });
        else if (!wanted.has(rolloutId)) settled(rolloutId, { kind: 'dropped' });
        else settled(rolloutId, lastWord(judgement, path) ?? change(withManifest(errand, judgement)));
      }
    },
  };
  return fake;
}
