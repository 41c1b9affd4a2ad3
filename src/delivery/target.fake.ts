/** A delivery target in memory, which passes the same cases as the real ones (contract.ts). */
import { shortSha } from '../core/ref-event.ts';
import { judge } from './ownership.ts';
import type { Delivery, DeliveryOutcome, DeliveryTarget } from './target.ts';
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
  const commitOf = ({ rolloutId }: Delivery) =>
    Buffer.from(rolloutId).toString('hex').padEnd(40, '0').slice(0, 40);
  const fake: FakeTarget = {
    files,
    batches: [],
    failure: null,
    async deliver(batch, stillWanted) {
      fake.batches.push(batch.map(({ rolloutId }) => rolloutId));
      const outcomes = new Map<string, DeliveryOutcome>();
      const wanted = await stillWanted(batch.map(({ rolloutId }) => rolloutId));
      for (const delivery of batch) {
        const { rolloutId, path } = delivery;
        const text = files.get(path);
        const entry: Entry = text === undefined ? { kind: 'nothing' } : { kind: 'file', text };
        const judgement = judge(delivery, entry, name);
        if (fake.failure) outcomes.set(rolloutId, { kind: 'failed', error: fake.failure });
        else if (!wanted.has(rolloutId)) outcomes.set(rolloutId, { kind: 'dropped' });
        else if (judgement.kind === 'refuse')
          outcomes.set(rolloutId, { kind: 'failed', error: judgement.error });
        else if (judgement.kind === 'keep')
          outcomes.set(rolloutId, {
            kind: 'delivered',
            receipt: { commit: null, path },
            message: judgement.message,
            manifest: judgement.manifest,
          });
        else {
          files.set(path, judgement.manifest);
          const commit = commitOf(delivery);
          outcomes.set(rolloutId, {
            kind: 'delivered',
            receipt: { commit, path },
            message: `Committed ${shortSha(commit)} to ${name}`,
            manifest: judgement.manifest,
          });
        }
      }
      return outcomes;
    },
  };
  return fake;
}
