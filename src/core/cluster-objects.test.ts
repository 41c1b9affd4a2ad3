import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collectSeen, intentOf, projectObject } from './cluster-objects.ts';
import type { ClusterKind } from './cluster-views.ts';
import { event, pod, service } from './readiness.fixture.ts';

const KINDS = [
  'InferenceService',
  'Deployment',
  'ReplicaSet',
  'Pod',
  'Event',
  'KnativeService',
  'Revision',
] as const satisfies ClusterKind[];

const named = { name: 'iris', namespace: 'demo' };

it.each(KINDS)('a %s of any shape throws nothing', (kind) => {
  const paths = ['metadata', 'spec', 'status'];
  const key = fc.constantFrom(
    ...['predictor', 'template', 'metadata', 'annotations', 'labels', 'conditions', 'containerStatuses'],
    ...[
      'traffic',
      'model',
      'storageUris',
      'modelStatus',
      'lastFailureInfo',
      'components',
      'state',
      'waiting',
    ],
    ...['containers', 'initContainers', 'ownerReferences', 'replicas', 'terminated', 'lastState', 'name'],
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      fc.jsonValue({ maxDepth: 1 }),
      fc.dictionary(key, tie('tree')),
      fc.array(tie('tree'), { maxLength: 3 }),
    ),
  }));
  const raw = fc.record(Object.fromEntries(paths.map((path) => [path, tree])));
  fc.assert(
    fc.property(raw, fc.boolean(), (object, hasName) => {
      const { metadata } = object;
      const around = typeof metadata === 'object' && metadata !== null ? metadata : {};
      projectObject(kind, hasName ? { ...object, metadata: { ...around, ...named } } : object);
    }),
    { numRuns: 500 },
  );
  for (const nothing of [null, undefined, 7, 'x', [], {}]) expect(projectObject(kind, nothing)).toBeNull();
});

it.each(KINDS.filter((kind) => kind !== 'Event'))('a %s of nothing but a name is kept', (kind) => {
  expect(projectObject(kind, { metadata: named })).toMatchObject({ kind, ...named });
});

describe('an event', () => {
  const about = { kind: 'Pod', name: 'p', uid: 'u' };
  const raw = { metadata: named, type: 'Warning', reason: 'Failed', message: 'm', involvedObject: about };

  it('is kept where it tells something about readiness', () => {
    expect(projectObject('Event', raw)).toMatchObject({
      reason: 'Failed',
      regarding: { kind: 'Pod', uid: 'u' },
    });
    for (const reason of ['TriggeredScaleUp', 'Nominated'])
      expect(projectObject('Event', { ...raw, type: 'Normal', reason })).not.toBeNull();
    expect(projectObject('Event', { ...raw, type: 'Normal', reason: 'Scheduled' })).toBeNull();
    const scaler = { ...about, kind: 'HorizontalPodAutoscaler' };
    expect(projectObject('Event', { ...raw, involvedObject: scaler })).toBeNull();
  });

  it('tells when it was last repeated, whoever reports it', () => {
    const lastAt = (times: object) => projectObject('Event', { ...raw, ...times });
    const at = Date.parse('2026-11-21T12:00:00Z');
    const time = '2026-11-21T12:00:00Z';
    expect(lastAt({ lastTimestamp: time, eventTime: null })).toMatchObject({ lastAt: at });
    expect(lastAt({ lastTimestamp: null, eventTime: '2026-11-21T12:00:00.000000Z' })).toMatchObject({
      lastAt: at,
    });
    expect(lastAt({ eventTime: '2020-01-01T00:00:00Z', series: { lastObservedTime: time } })).toMatchObject({
      lastAt: at,
    });
    expect(lastAt({ metadata: { ...named, creationTimestamp: time } })).toMatchObject({ lastAt: at });
    expect(lastAt({})).toMatchObject({ lastAt: null });
  });

  it('of the newer API is the same', () => {
    const { message, involvedObject, ...rest } = raw;
    expect(projectObject('Event', { ...rest, note: message, regarding: involvedObject })).toEqual(
      projectObject('Event', raw),
    );
  });
});

describe('messages', () => {
  const messageOf = (text: string) => {
    const found = pod({ container: { state: { terminated: { exitCode: 1, message: text } } } });
    return found.kind === 'Pod' ? found.containers.at(-1)?.ended?.message : null;
  };

  it('are the last lines of what a container left, at most so long', () => {
    expect(messageOf('one\n\ntwo\n  three\nfour\n')).toBe('two three four');
    expect(messageOf('x'.repeat(5000))).toHaveLength(600);
    expect(messageOf('\n')).toBeNull();
  });

  it('carry no secrets', () => {
    expect(messageOf('GET https://ml:s3cret@git.example.com/x.git failed')).toBe(
      'GET https://***@git.example.com/x.git failed',
    );
    expect(messageOf('https://b.example.com/m?X-Amz-Signature=abc123&part=1')).toBe(
      'https://b.example.com/m?X-Amz-Signature=***&part=1',
    );
    expect(messageOf('Authorization: Bearer hf_abc.def')).toBe('Authorization: Bearer ***');
  });
});

it('what belongs to another service is left out, and so are events about it', () => {
  const other = pod({ name: 'other', about: { labels: { 'serving.kserve.io/inferenceservice': 'other' } } });
  const own = pod();
  const seen = collectSeen('iris', [
    service(),
    own,
    other,
    event(own, 'Failed', 'm'),
    event(other, 'Failed', 'm'),
  ]);
  expect(seen.pods).toEqual([own]);
  expect(seen.events).toHaveLength(1);
});

describe('the intent of an InferenceService', () => {
  const live = {
    metadata: { ...named, labels: { a: '1', b: '2' }, annotations: { c: '3' }, generation: 1 },
    spec: { predictor: { minReplicas: 1 } },
  };

  it('is another with each label, annotation and field of the spec', () => {
    const others = [
      { ...live, metadata: { ...live.metadata, labels: { a: '1' } } },
      { ...live, metadata: { ...live.metadata, annotations: {} } },
      { ...live, spec: { predictor: { minReplicas: 2 } } },
    ];
    expect(new Set([live, ...others].map(intentOf)).size).toBe(4);
  });

  it('is the same whatever KServe and the API server write, and in whatever order', () => {
    const labels = { b: '2', a: '1' };
    const metadata = { ...live.metadata, labels, generation: 2, resourceVersion: '7', managedFields: [] };
    const later = { status: { url: 'x' }, ...live, metadata };
    expect(intentOf(later)).toBe(intentOf(live));
    expect(projectObject('InferenceService', later)).toMatchObject({ intent: intentOf(live) });
    expect(intentOf(live)).toMatch(/^[0-9a-f]{16}$/);
  });
});
