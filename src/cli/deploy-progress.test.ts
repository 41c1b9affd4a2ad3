import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Deployment } from '../compose.ts';
import type { Rollout } from '../core/rollout.ts';
import { follow } from './deploy-progress.ts';

let said: string;
beforeEach(() => {
  said = '';
  vi.useFakeTimers({ now: 0 });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += text;
    return true;
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A store with one rollout, which goes on when it is told to. */
function storeOf(): { store: Deployment['store']; rollout: Rollout; become(given: Partial<Rollout>): void } {
  const rollout = {
    id: 'r1',
    policy: 'vision',
    phase: 'pending',
    stage: 'observe',
    createdAt: 0,
    message: 'Queued',
    transitions: [{ at: 0, phase: 'pending', message: 'Queued' }],
  } as unknown as Rollout & { transitions: object[] };
  const listeners = new Set<() => void>();
  const lifecycle = {
    onChange: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return {
    rollout,
    store: { rollouts: { get: async () => rollout }, lifecycle } as unknown as Deployment['store'],
    become(given) {
      Object.assign(rollout, given);
      rollout.transitions.push({ at: Date.now(), phase: rollout.phase, message: rollout.message });
      for (const listener of listeners) listener();
    },
  };
}

it('tells each step once, and after a minute without one what is still waited for', async () => {
  const { store, rollout, become } = storeOf();
  const following = follow(store, [rollout]);
  await vi.advanceTimersByTimeAsync(30_000);
  become({ phase: 'delivered', message: 'waiting for iris' });
  await vi.advanceTimersByTimeAsync(59_000);
  expect(said).toBe(
    '   +0.0 s  vision  pending     Queued\n  +30.0 s  vision  delivered   waiting for iris\n',
  );
  said = '';
  await vi.advanceTimersByTimeAsync(61_000);
  expect(said).toBe(
    '  +90.0 s  vision  delivered   still: waiting for iris\n +150.0 s  vision  delivered   still: waiting for iris\n',
  );
  become({ phase: 'ready', stage: null, message: 'Ready' });
  expect(await following).toBe(false);
  expect(vi.getTimerCount()).toBe(0);
});
