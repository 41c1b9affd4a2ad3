import { describe, expect, it } from 'vitest';
import { policyText } from '../core/policy.fixture.ts';
import type { RefMove } from '../core/ref-event.ts';
import { FakeForge } from '../forge/forge.fake.ts';
import { type WebhookDelivery, WebhookError } from '../forge/forge.ts';
import { StoreUnavailableError } from '../store/store.ts';
import { createSite, NOON, policySet } from './pipeline.fixture.ts';
import { createReceive } from './receive.ts';

const TAG = 'refs/tags/v1.0.0';
const [A, B] = ['a'.repeat(40), 'b'.repeat(40)] as const;
const move = (given: Partial<RefMove> = {}): RefMove => ({
  repository: 'plain:ml/iris',
  projectId: null,
  ref: TAG,
  before: null,
  after: A,
  ...given,
});

/** A forge whose deliveries say just this. */
function forgeThatSays(delivery: WebhookDelivery, name = 'plain') {
  const forge = new FakeForge(name);
  return { ...forge, name, webhooks: { receive: () => delivery } };
}
const refs = (id: string | null, ...moves: RefMove[]): WebhookDelivery => ({ kind: 'refs', id, moves });
const NOTHING = { header: () => undefined, body: new Uint8Array() };

describe('a delivery', () => {
  it('that tells something new is stored, and only then answered', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    const answer = await receive(site.forge, site.forge.delivery(move()));
    const [event] = await site.events();
    expect(answer).toEqual({ status: 'stored', eventId: event?.id });
    expect(event).toMatchObject({ repository: 'plain:ml/iris', ref: TAG, sha: A, source: 'webhook' });
  });

  it('that tells nothing new answers with the event it repeats', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    await receive(site.forge, site.forge.delivery(move()));
    const [event] = await site.events();
    expect(await receive(site.forge, site.forge.delivery(move()))).toEqual({
      status: 'repeat',
      eventId: event?.id,
    });
    expect(await site.events()).toHaveLength(1);
  });

  it('that is sent again after the ref moved on is its own event still', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    const first = site.forge.delivery(move());
    await receive(site.forge, first);
    await receive(site.forge, site.forge.delivery(move({ before: A, after: B })));
    const [event] = await site.events();
    expect(await receive(site.forge, first)).toEqual({ status: 'repeat', eventId: event?.id });
    expect(await site.events()).toHaveLength(2);
  });

  it('of something else is ignored, with the reason', async () => {
    const site = await createSite();
    const forge = forgeThatSays({ kind: 'ignored', reason: 'a ping' });
    expect(await createReceive(site)(forge, NOTHING)).toEqual({ status: 'ignored', reason: 'a ping' });
    expect(await site.events()).toEqual([]);
  });

  it('of something else that changed wakes who waits for that, and makes no event', async () => {
    const site = await createSite();
    const looked: (readonly string[])[] = [];
    const lookAtPullRequests = async (destinations: readonly string[]) => void looked.push(destinations);
    const store = { ...site.store, rollouts: { ...site.store.rollouts, lookAtPullRequests } };
    const receive = createReceive({ ...site, store });
    const changed = {
      kind: 'changed',
      what: 'pullRequest',
      repository: 'plain:fleet',
      reason: '#12 merged',
    } as const;
    expect(await receive(forgeThatSays(changed), NOTHING)).toEqual({
      status: 'ignored',
      reason: '#12 merged; no ref moved, and who waits for it looks now',
    });
    expect(looked).toEqual([['pull requests/fleet']]);
    expect(await site.events()).toEqual([]);
    expect(await site.store.repositories.claimListings(10, NOON + 1)).toEqual([]);
    await receive(forgeThatSays({ ...changed, what: 'name', reason: 'renamed' }), NOTHING);
    expect(looked).toHaveLength(1);
    expect(await site.store.repositories.claimListings(10, NOON + 1)).toEqual(['plain:fleet']);
    const pushed = move({ repository: 'plain:fleet', ref: 'refs/heads/main' });
    await receive(site.forge, site.forge.delivery(pushed));
    expect(looked[1]).toEqual(['pull requests/fleet']);
  });

  it('of no ref at all is ignored', async () => {
    const site = await createSite();
    expect(await createReceive(site)(forgeThatSays(refs('d1')), NOTHING)).toEqual({
      status: 'ignored',
      reason: 'the delivery names no branch or tag',
    });
  });

  it('that the forge refuses changes nothing', async () => {
    const site = await createSite();
    const forged = site.forge.delivery(move(), 'another secret');
    await expect(createReceive(site)(site.forge, forged)).rejects.toThrow(WebhookError);
    expect(await site.events()).toEqual([]);
  });

  it('that cannot be stored is not answered as if it were', async () => {
    const site = await createSite();
    const events = {
      ...site.store.events,
      record: () => Promise.reject(new StoreUnavailableError('the disk is full')),
    };
    const receive = createReceive({ ...site, store: { ...site.store, events } });
    await expect(receive(site.forge, site.forge.delivery(move()))).rejects.toThrow(StoreUnavailableError);
  });
});

describe('a deletion', () => {
  it('is noted, and answered as ignored', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    await receive(site.forge, site.forge.delivery(move()));
    const gone = site.forge.delivery(move({ before: A, after: null }));
    const reason = 'refs/tags/v1.0.0 was deleted, and nothing is removed for it';
    expect(await receive(site.forge, gone)).toEqual({ status: 'ignored', reason });
    expect(await receive(site.forge, gone)).toEqual({ status: 'ignored', reason });
    expect(await site.events()).toMatchObject([{ kind: 'created' }, { kind: 'deleted', sha: null }]);
  });

  it('is answered with its event where a policy removes what it deployed, or none can say yet', async () => {
    for (const set of [policySet('c0ffee', policyText({ onRefDelete: 'remove' })), null]) {
      const site = await createSite();
      site.policies.set = set;
      const receive = createReceive(site);
      await receive(site.forge, site.forge.delivery(move()));
      const gone = site.forge.delivery(move({ before: A, after: null }));
      const eventId = (await receive(site.forge, gone).then(() => site.events())).at(-1)?.id;
      expect(await receive(site.forge, gone)).toEqual({ status: 'repeat', eventId });
    }
  });

  it('of a ref nobody knew makes no event', async () => {
    const site = await createSite();
    const gone = site.forge.delivery(move({ before: A, after: null }));
    expect(await createReceive(site)(site.forge, gone)).toMatchObject({ status: 'ignored' });
    expect(await site.events()).toEqual([]);
  });

  it('between two creations of one position makes the second one new', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    await receive(site.forge, site.forge.delivery(move()));
    await receive(site.forge, site.forge.delivery(move({ before: A, after: null })));
    expect(await receive(site.forge, site.forge.delivery(move()))).toMatchObject({ status: 'stored' });
    expect((await site.events()).map(({ kind }) => kind)).toEqual(['created', 'deleted', 'created']);
  });
});

describe('several refs in one delivery', () => {
  const other = move({ ref: 'refs/tags/v1.0.1' });

  it('make an event each, and the answer names the first', async () => {
    const site = await createSite();
    const answer = await createReceive(site)(forgeThatSays(refs('d1', move(), other)), NOTHING);
    const events = await site.events();
    expect(events.map(({ ref }) => ref)).toEqual([TAG, 'refs/tags/v1.0.1']);
    expect(answer).toEqual({ status: 'stored', eventId: events[0]?.id });
  });

  it('are answered with an event where there is one beside a deletion', async () => {
    const site = await createSite();
    const gone = move({ before: A, after: null });
    const answer = await createReceive(site)(forgeThatSays(refs('d1', gone, other)), NOTHING);
    expect(answer).toMatchObject({ status: 'stored', eventId: (await site.events())[0]?.id });
  });

  it('are each a repeat when the delivery comes again', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    const forge = forgeThatSays(refs('d1', move(), other));
    await receive(forge, NOTHING);
    expect(await receive(forge, NOTHING)).toMatchObject({ status: 'repeat' });
    expect(await site.events()).toHaveLength(2);
  });
});

describe('the id of a delivery', () => {
  it('is that of its forge: another forge may use the same', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    await receive(forgeThatSays(refs('1', move())), NOTHING);
    const twin = move({ repository: 'other:ml/iris' });
    const answer = await receive(forgeThatSays(refs('1', twin), 'other'), NOTHING);
    expect(answer).toMatchObject({ status: 'stored' });
    expect((await site.events()).map(({ repository }) => repository)).toEqual([
      'plain:ml/iris',
      'other:ml/iris',
    ]);
  });

  it('is not needed: a forge may send none', async () => {
    const site = await createSite();
    const receive = createReceive(site);
    expect(await receive(forgeThatSays(refs(null, move())), NOTHING)).toMatchObject({ status: 'stored' });
    const moved = refs(null, move({ before: A, after: B }));
    expect(await receive(forgeThatSays(moved), NOTHING)).toMatchObject({ status: 'stored' });
    expect(await site.events()).toHaveLength(2);
  });
});
