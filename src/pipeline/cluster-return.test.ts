import { describe, expect, it } from 'vitest';
import { FakeCluster } from '../cluster/cluster.fake.ts';
import { createClusterReturn } from './cluster-return.ts';
import { fakeLog } from './pipeline.fixture.ts';

function site() {
  const cluster = new FakeCluster();
  const asked: (string | null)[][] = [];
  const tryAgain = async (...place: [string, string | null]) => void asked.push(place);
  const rollouts = { tryAgain };
  const clusters = new Map([['prod', cluster]]);
  // Only what it asks of the store is there.
  const store = { rollouts } as unknown as Parameters<typeof createClusterReturn>[0]['store'];
  const back = createClusterReturn({ store, clusters, persist: (write) => write(), log: fakeLog() });
  return { cluster, asked, back };
}

describe('a cluster that is back', () => {
  it('has what waits for it tried again at once', () => {
    const { cluster, asked, back } = site();
    back.start();
    cluster.become({ trouble: { since: 0, message: 'cannot be reached' } });
    expect(asked).toEqual([]);
    cluster.become({});
    expect(asked).toEqual([['apply/prod', null]]);
  });

  it('of which one namespace came has only that tried again', () => {
    const { cluster, asked, back } = site();
    back.start();
    cluster.tell('vision', null);
    expect(asked).toEqual([['apply/prod', 'vision']]);
  });

  it('is not meant by a change of one service, and nobody listens after the end', () => {
    const { cluster, asked, back } = site();
    back.start();
    cluster.tell('vision', 'iris');
    back.stop();
    cluster.become({});
    expect(asked).toEqual([]);
  });
});
