import { describe, expect, it } from 'vitest';
import { describeForge, type ForgeHarness } from './contract.ts';
import { FakeForge } from './forge.fake.ts';
import { describePullRequests } from './pull-request-contract.ts';
import { describeReviews } from './review-contract.ts';

const makeHarness = async (): Promise<ForgeHarness> => {
  const forge = new FakeForge('fake', ['first-secret', 'second-secret']);
  const repository = forge.create('ml/iris');
  const sha = 'a'.repeat(40);
  return {
    forge,
    other: forge,
    repository,
    absent: 'fake:ml/none',
    secrets: forge.secrets,
    commit: async (branch, files) => forge.commit(repository, files, branch),
    point: async (ref, to) => forge.point(repository, ref, to),
    annotate: async (ref, to) => forge.annotate(repository, ref, to),
    remove: async (ref) => forge.remove(repository, ref),
    delivery: ({ ref, before, after }, secret) => forge.delivery({ repository, ref, before, after }, secret),
    testDelivery: (secret) =>
      forge.delivery({ repository, ref: 'refs/heads/main', before: sha, after: sha }, secret),
    pullRequestDelivery: (secret) => forge.pullRequestDelivery(repository, secret),
    rename: async () => forge.rename(repository, 'ml/iris-renamed'),
    signed: (body, secret) => forge.signed(body, secret),
    end: async () => {},
  };
};

describeForge('the fake forge', makeHarness, (harness, ref) => harness.point(ref, 'dead'.repeat(10)));

describePullRequests('pull requests of the fake forge', async () => {
  const forge = new FakeForge('fake');
  const repository = forge.create('platform/fleet');
  forge.commit(repository, { 'README.md': '# Fleet' });
  const { pullRequests } = forge;
  return {
    pullRequests,
    repository,
    absent: 'fake:platform/none',
    branch: async (name) => {
      forge.commit(repository, { 'a.yaml': 'a' }, name);
    },
    merge: async (number) => pullRequests.merge(repository, number),
    close: async (number) => pullRequests.close(repository, number),
    openFromFork: async (head) =>
      pullRequests.openFromFork(repository, { head, base: 'main', title: 'mine', text: '' }).number,
    commentsOf: async (number) => pullRequests.commentsOf(repository, number),
    end: async () => {},
  };
});

describeReviews('reviews of the fake forge', async () => {
  const forge = new FakeForge('fake');
  const repository = forge.create('platform/policies');
  const { reviews, statuses } = forge;
  let made = 0;
  const change = () => {
    made += 1;
    return forge.commit(repository, { 'policy.yaml': `${made}` }, `change-${made}`);
  };
  return {
    reviews,
    restarted: () => reviews,
    statuses,
    repository,
    absent: 'fake:platform/none',
    open: async (from, base, title) => {
      const proposal = { head: change(), base, isFork: from === 'fork' };
      return reviews.open(repository, title === undefined ? proposal : { ...proposal, title });
    },
    forcePush: async (number) => {
      const head = change();
      reviews.push(repository, number, head);
      return head;
    },
    retarget: async (number, base) => reviews.retarget(repository, number, base),
    close: async (number) => reviews.close(repository, number),
    comment: async (number, text) => reviews.comment(repository, number, text),
    commentsOf: async (number) => reviews.commentsOf(repository, number).map(({ text }) => text),
    removeComment: async (number, text) => reviews.removeComment(repository, number, text),
    end: async () => {},
  };
});

describe('the fake forge', () => {
  it('fails like a forge that is down, and has lost nothing when it is back', async () => {
    const forge = new FakeForge('fake');
    const repository = forge.create('ml/iris');
    const sha = forge.commit(repository, { 'README.md': '# Iris' });
    forge.down = new Error('502 Bad Gateway');
    await expect(forge.repositories.listRefs(repository)).rejects.toThrow('502 Bad Gateway');
    forge.down = null;
    expect(await forge.repositories.listRefs(repository)).toMatchObject([{ ref: 'refs/heads/main', sha }]);
  });
});
