/** Judges what a real KServe did, at every moment of it and in other orders, against what the trace itself shows. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collectSeen, projectObject } from '../../src/core/cluster-objects.ts';
import { judge, type Verdict } from '../../src/core/readiness.ts';
import type { CauseKind, Since, Wanted } from '../../src/core/readiness-cause.ts';
import {
  EPOCH,
  type Episode,
  episodesOf,
  keyOf,
  Objects,
  readTrace,
  reduceTrace,
  type TraceLine,
  traceNames,
  wantedOf,
} from './traces.ts';

/** What becomes of each apply, and when: milliseconds after it. */
const EXPECTED: Record<string, (number | [CauseKind, number])[]> = {
  'bad-storage-uri': [['storageUri', 167]],
  'create-crash': [['crashLoop', 733]],
  'create-download-fails': [['download', 723]],
  'create-image-pull': [['imagePull', 60_730]],
  'create-never-ready': [['timeout', 1_800_000]],
  'create-out-of-memory': [['outOfMemory', 752]],
  'create-ready': [1269],
  'knative-canary': [1974, 2537, 408],
  'knative-create-crash': [['crashLoop', 925]],
  'knative-create-download-fails': [['download', 835]],
  'knative-create-ready': [2048],
  'knative-same-again': [1883, 0],
  'knative-unschedulable': [['unschedulable', 600_448]],
  'knative-update-image-pull': [1861, ['imagePull', 60_795]],
  'knative-update-ready': [1945, 1824],
  'knative-update-slow-ready': [2051, 11_429],
  'label-only': [1476, 1287],
  'mode-changed': [1277],
  'moved-tag-same-uri': [1283, 1267],
  'runtime-auto': [1296],
  'same-again': [1294, 0],
  'unknown-runtime': [['unknownRuntime', 30_201]],
  unschedulable: [['unschedulable', 600_235]],
  'unsupported-format': [['unsupported', 30_185]],
  'unsupported-protocol': [['unsupported', 30_169]],
  'update-download-fails': [1288, ['download', 723]],
  'update-ready': [1290, 1268],
  'update-slow-ready': [1273, 10_773],
};

interface Case {
  name: string;
  episode: Episode;
  isLast: boolean;
  expected: number | [CauseKind, number] | undefined;
}

const CASES: Case[] = traceNames().flatMap((name) => {
  const episodes = episodesOf(readTrace(name)).map(fromItsManifest);
  return episodes.map((episode, index) => ({
    name: `${name}, apply ${index + 1}`,
    episode,
    isLast: index === episodes.length - 1,
    expected: EXPECTED[name]?.[index],
  }));
});

/**
 * The recorded hashes are made up, and that of the promoted canary is the canary's. Ours would differ, so what is there
 * before the new manifest counts as seen before.
 */
function fromItsManifest(episode: Episode): Episode {
  const previous = episode.before.findLast((line) => 'step' in line);
  if (previous === undefined || !('step' in previous)) return episode;
  const isSameHash = previous.step.specHash === episode.step.specHash;
  if (!isSameHash || previous.step.canaryTrafficPercent === episode.step.canaryTrafficPercent) return episode;
  const first = episode.lines.findIndex(
    (line) => 'object' in line && line.object.kind === 'InferenceService',
  );
  return {
    ...episode,
    before: [...episode.before, ...episode.lines.slice(0, first + 1)],
    lines: episode.lines.slice(first + 1),
  };
}

const seenOf = (objects: Objects) => collectSeen('iris', objects.all());

function objectsBefore(episode: Episode): Objects {
  const objects = new Objects();
  for (const line of episode.before) objects.see(line);
  return objects;
}

/**
 * Whether only what was applied serves, by the pods and the traffic alone: a new pod is Ready, and no pod of another
 * spec is left; in Knative mode, where old pods stay for a while, the new revision has the traffic.
 */
function isServing({ step }: Episode, objects: Objects): boolean {
  const { pods, knativeServices, revisions } = seenOf(objects);
  const isNewReady = pods.some((pod) => pod.specHash === step.specHash && pod.ready && !pod.deleting);
  if (step.mode === 'Standard') return isNewReady && pods.every((pod) => pod.specHash === step.specHash);
  const traffic = knativeServices[0]?.traffic.find((entry) => entry.latest);
  const revision = revisions.find(({ name }) => name === traffic?.revision);
  return (
    isNewReady &&
    revision?.specHash === step.specHash &&
    traffic?.percent === (step.canaryTrafficPercent ?? 100)
  );
}

interface Moment {
  t: number;
  verdict: Verdict;
  isServing: boolean;
}

/** Judges after every line; after the last one whenever the judge asked for it, to the end of the timeout. */
function replay({ episode, isLast }: Case, via: Wanted['via']): Moment[] {
  const wanted = wantedOf(episode, via);
  const objects = objectsBefore(episode);
  const moments: Moment[] = [];
  let since: Since = {};
  const judgeAt = (t: number): Verdict => {
    const judged = judge(wanted, seenOf(objects), since, EPOCH + t);
    since = judged.since;
    moments.push({ t: t - episode.t, verdict: judged.verdict, isServing: isServing(episode, objects) });
    return judged.verdict;
  };
  let t = episode.t;
  let verdict = judgeAt(t);
  for (const line of episode.lines) {
    objects.see(line);
    t = line.t;
    verdict = judgeAt(t);
  }
  while (isLast && verdict.state !== 'ready' && verdict.again !== null) {
    t += verdict.again;
    verdict = judgeAt(t);
  }
  return moments;
}

const stateOf = ({ verdict }: Moment): string =>
  verdict.state === 'failed' ? `failed: ${verdict.cause}` : verdict.state;

describe.each(CASES)('$name', (trace) => {
  const { expected } = trace;

  it.each(['gitops', 'apply'] as const)('is judged right at every prefix, delivered by %s', (via) => {
    const moments = replay(trace, via);
    expect(expected).toBeDefined();
    const right =
      typeof expected === 'number' ? ['ready', expected] : [`failed: ${expected?.[0]}`, expected?.[1]];
    const states = moments.map(stateOf);
    const first = moments.findIndex((moment) => moment.verdict.state !== 'progressing');
    expect([states[first], moments[first]?.t]).toEqual(right);
    expect(new Set(states.slice(0, first))).toEqual(new Set(first === 0 ? [] : ['progressing']));
    expect(new Set(states.slice(first))).toEqual(new Set([right[0]]));
    for (const moment of moments) expect(moment.verdict.state === 'ready' && !moment.isServing).toBe(false);
  });

  it('is judged the same after a restart at any moment, where the marks were kept', () => {
    const kept = replay(trace, 'gitops');
    const { episode } = trace;
    const wanted = wantedOf(episode, 'gitops');
    const objects = objectsBefore(episode);
    let since: Since = judge(wanted, seenOf(objects), {}, EPOCH + episode.t).since;
    episode.lines.forEach((line, index) => {
      objects.see(line);
      const judged = judge(wanted, seenOf(objects), JSON.parse(JSON.stringify(since)), EPOCH + line.t);
      since = judged.since;
      expect(judged.verdict).toEqual(kept[index + 1]?.verdict);
    });
  });
});

it('every trace has what is expected of it', () => {
  expect(traceNames()).toEqual(Object.keys(EXPECTED).sort());
});

/** Deals the lines out again: each object's in their order, the objects' among each other in any. */
const shuffled = (lines: readonly TraceLine[]): fc.Arbitrary<TraceLine[]> => {
  const queues = [...Map.groupBy(lines, (line) => ('step' in line ? '' : keyOf(line.object))).values()];
  const turns = queues.flatMap((queue, index) => queue.map(() => index));
  return fc.shuffledSubarray(turns, { minLength: turns.length }).map((order) => {
    const next = queues.map(() => 0);
    return order.flatMap((index) => {
      const line = queues[index]?.[next[index] ?? 0];
      next[index] = (next[index] ?? 0) + 1;
      return line === undefined ? [] : [line];
    });
  });
};

/** The states of the child that came when, or after, only what was applied served. */
function statesOfServing(episode: Episode): Set<unknown> {
  const objects = objectsBefore(episode);
  const kind = episode.step.mode === 'Standard' ? 'Deployment' : 'KnativeService';
  const childOf = (): unknown => objects.all().find((object) => object.kind === kind);
  const states: { child: unknown; serving: boolean }[] = [
    { child: childOf(), serving: isServing(episode, objects) },
  ];
  for (const line of episode.lines) {
    objects.see(line);
    states.push({ child: childOf(), serving: isServing(episode, objects) });
  }
  return new Set(states.filter(({ serving }) => serving).map(({ child }) => child));
}

describe.each(CASES)('$name, seen in another order', (trace) => {
  it('is never ready before what makes it so was seen, and fails of nothing but its cause', () => {
    const { episode, expected } = trace;
    const wanted = wantedOf(episode, 'gitops');
    const serving = statesOfServing(episode);
    const kind = episode.step.mode === 'Standard' ? 'Deployment' : 'KnativeService';
    fc.assert(
      fc.property(shuffled(episode.lines), (lines) => {
        const objects = objectsBefore(episode);
        let since: Since = {};
        let verdict: Verdict | null = null;
        for (const [index, line] of lines.entries()) {
          objects.see(line);
          const judged = judge(wanted, seenOf(objects), since, EPOCH + episode.t + index);
          ({ verdict, since } = judged);
          const child = objects.all().find((object) => object.kind === kind);
          if (verdict.state === 'ready') expect(serving.has(child)).toBe(true);
          if (verdict.state === 'failed')
            expect(typeof expected === 'number' ? null : expected?.[0]).toBe(verdict.cause);
        }
        if (typeof expected === 'number' && lines.length > 0) expect(verdict?.state).toBe('ready');
        if (typeof expected !== 'number') expect(verdict?.state).not.toBe('ready');
      }),
      { numRuns: 100 },
    );
  });
});

it('a recording is reduced to what watches make of the raw objects, without repetitions and other kinds', () => {
  const object = {
    metadata: { name: 'iris-1', namespace: 'demo', uid: 'u1', managedFields: [{ manager: 'kubectl' }] },
    spec: { replicas: 2 },
    status: { replicas: 1 },
  };
  const line = (type: string) => JSON.stringify({ t: 5, kind: 'ReplicaSet', type, object });
  const service = JSON.stringify({ t: 6, kind: 'Service', type: 'ADDED', object });
  const reduced = reduceTrace([line('ADDED'), line('MODIFIED'), service, line('DELETED'), ''].join('\n'));
  const projected = projectObject('ReplicaSet', object);
  expect(
    reduced
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text)),
  ).toEqual([
    { t: 5, type: 'ADDED', object: projected },
    { t: 5, type: 'DELETED', object: projected },
  ]);
});
