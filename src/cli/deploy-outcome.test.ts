import { expect, it } from 'vitest';
import type { Rollout } from '../core/rollout.ts';
import { interruption } from './deploy-outcome.ts';

const PULL_REQUEST = { number: 7, label: '!7', url: 'https://gitlab.example.com/fleet/-/merge_requests/7' };
const plan = {} as Rollout['plan'];
const rolloutOf = (given: Partial<Rollout>): Rollout =>
  ({
    policy: 'vision',
    phase: 'pending',
    stage: 'deliver',
    target: { cluster: 'prod', namespace: 'vision', name: 'iris' },
    plan,
    pullRequest: null,
    attempts: 0,
    ...given,
  }) as Rollout;

it.each<[string, Partial<Rollout>, boolean, string]>([
  [
    'is delivered and watched',
    { phase: 'delivered', stage: 'observe' },
    true,
    'vision: prod/vision/iris is delivered and stays, and whether it serves is no longer watched',
  ],
  ['was not planned yet', { plan: null, target: null }, false, 'vision was not delivered'],
  ['was planned, and nothing tried', {}, true, 'vision: prod/vision/iris was not delivered'],
  ['was cut off in the middle', {}, false, 'vision: prod/vision/iris may be delivered or not; run it again'],
  ['was tried in vain', { attempts: 1 }, true, 'vision: prod/vision/iris may be delivered or not; run it'],
  ['waits for people', { pullRequest: PULL_REQUEST }, true, `waits in ${PULL_REQUEST.url}, which stays open`],
  ['failed', { phase: 'failed', stage: null }, true, 'vision: prod/vision/iris has ended as failed'],
])('Ctrl-C says what becomes of a rollout that %s', (_, given, isFinished, words) => {
  expect(interruption([rolloutOf(given)], isFinished)).toContain(words);
});

it('Ctrl-C says nothing of a rollout that is good already', () => {
  const rollouts = [rolloutOf({ phase: 'ready', stage: null }), rolloutOf({ policy: 'other' })];
  expect(interruption(rollouts, true)).toBe('interrupted\n  other: prod/vision/iris was not delivered');
});
