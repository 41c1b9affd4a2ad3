import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EventView } from '../core/cluster-views.ts';
import { createEventShelf } from './event-shelf.ts';

const eventOf = (name: string, uid: string, reason = 'Failed', lastAt = 0, message = ''): EventView => ({
  kind: 'Event',
  namespace: 'vision',
  name,
  uid: name,
  service: null,
  regarding: { kind: 'Pod', uid },
  reason,
  message,
  lastAt,
});

describe('events that are kept', () => {
  it('are few about one object, with the newest of each reason', () => {
    const shelf = createEventShelf(() => true);
    shelf.put(eventOf('rare', 'pod', 'FailedMount', 0));
    for (let n = 1; n <= 1000; n += 1) shelf.put(eventOf(`often-${n}`, 'pod', 'BackOff', n));
    const kept = shelf.about(['pod']);
    expect(kept.length).toBeLessThan(30);
    expect(kept[0]?.name).toBe('rare');
    expect(kept.at(-1)?.name).toBe('often-1000');
  });

  it('are few about objects that nobody knows, whatever comes', () => {
    const shelf = createEventShelf((uid) => uid === 'ours');
    shelf.put(eventOf('ours', 'ours'));
    for (let n = 0; n < 20_000; n += 1) shelf.put(eventOf(`event-${n}`, `stranger-${n}`));
    expect(shelf.keys().length).toBeLessThan(600);
    expect(shelf.about(['ours'])).toHaveLength(1);
    expect(shelf.about(['stranger-19999'])).toHaveLength(1);
  });

  it('tell something new only where they differ', () => {
    const shelf = createEventShelf(() => true);
    expect(shelf.put(eventOf('a', 'pod', 'BackOff', 1))).toBe(true);
    expect(shelf.put(eventOf('a', 'pod', 'BackOff', 1))).toBe(false);
    expect(shelf.put(eventOf('a', 'pod', 'BackOff', 2))).toBe(true);
    expect(shelf.put(eventOf('nothing', '', 'BackOff', 2))).toBe(false);
  });

  it('are as many as were put and neither dropped nor forgotten', () => {
    const step = fc.record({
      do: fc.constantFrom('put', 'put', 'put', 'drop', 'forget'),
      name: fc.nat(15),
      uid: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const shelf = createEventShelf(() => true);
        const expected = new Map<string, string>();
        for (const { do: what, name, uid } of steps) {
          // An event is always about the same object.
          const about = `pod-${name % 4}`;
          if (what === 'put') expected.set(`event-${name}`, about);
          if (what === 'put') shelf.put(eventOf(`event-${name}`, about));
          if (what === 'drop')
            expect(shelf.drop(`vision/event-${name}`)).toBe(expected.get(`event-${name}`) ?? null);
          if (what === 'drop') expected.delete(`event-${name}`);
          if (what !== 'forget') continue;
          shelf.forget(`pod-${uid}`);
          for (const [event, of] of expected) if (of === `pod-${uid}`) expected.delete(event);
        }
        const kept = shelf.about(['pod-0', 'pod-1', 'pod-2', 'pod-3']).map(({ name }) => name);
        expect(kept.sort()).toEqual([...expected.keys()].sort());
        expect(shelf.keys().length).toBe(expected.size);
      }),
    );
  });
});
