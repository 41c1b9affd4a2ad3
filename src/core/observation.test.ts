import { describe, expect, it } from 'vitest';
import { renderInferenceService } from './inference-service.ts';
import { beginObservation, dueOf, type Observed, type Outlook, observe } from './observation.ts';
import { makePlan } from './plan.ts';
import { loadGood, only, policyText } from './policy.fixture.ts';
import { deployment, HASH, MINUTE, NOW, seenOf, service, WANTED } from './readiness.fixture.ts';

const SECOND = 1000;

function manifestOf(spec: object): string {
  const policies = loadGood(policyText(spec));
  return renderInferenceService(
    makePlan({
      policy: only(policies),
      policies,
      repository: 'plain:ml/iris',
      projectId: null,
      ref: 'refs/tags/v1.0.0',
      sha: 'a'.repeat(40),
      modelCard: {
        kind: 'card',
        card: { library: 'sklearn', pipelineTag: null, license: null, tags: [], baseModel: [] },
      },
    }),
  ).manifest;
}

const OBSERVED: Observed = {
  phase: 'delivered',
  message: 'Committed 1a2b3c4 to fleet, waiting for iris to be ready',
  receipt: { commit: '1a2b3c4'.padEnd(40, '0'), path: 'iris.yaml' },
  createdAt: NOW - MINUTE,
  endpoints: { internal: null, external: null },
  target: WANTED.target,
  plan: { gitops: 'fleet', readiness: { ...WANTED.readiness, stability: 0 } },
  observation: {
    specHash: HASH,
    minReplicas: 1,
    maxReplicas: 3,
    mode: 'Standard',
    deliveredAt: NOW,
    readyAt: null,
    since: {},
  },
  saidAt: NOW,
};

describe('beginObservation', () => {
  it('takes from the manifest what tells it apart in the cluster', () => {
    expect(beginObservation(manifestOf({ replicas: { min: 2, max: 5 } }), NOW)).toEqual({
      specHash: expect.stringMatching(/^[0-9a-f]{16}$/),
      minReplicas: 2,
      maxReplicas: 5,
      mode: 'Knative',
      deliveredAt: NOW,
      readyAt: null,
      since: {},
    });
  });

  it('reads bounds that are not there as KServe does', () => {
    const bare = manifestOf({}).replace(/^ +(min|max)Replicas: .*\n/gm, '');
    expect(beginObservation(bare, NOW)).toMatchObject({ minReplicas: 1, maxReplicas: 0, mode: 'Standard' });
  });

  it.each(['', 'kind: [', 'kind: InferenceService\n', 'a: 1\n---\nb: 2\n'])(
    'finds nothing to go by in %j',
    (manifest) => {
      expect(beginObservation(manifest, NOW)).toBeNull();
    },
  );
});

describe('observe', () => {
  it('says how long it took since the push, and never less than nothing', () => {
    const seen = seenOf(service(), deployment());
    const at = (time: number) => observe(OBSERVED, { kind: 'clear', seen }, time).message;
    expect(at(NOW + MINUTE)).toBe('Ready in 2m at https://iris.example.com');
    expect(at(NOW - 5 * MINUTE)).toBe('Ready in 0s at https://iris.example.com');
  });

  it('looks once more when the stability is over, whenever it can, before it ends', () => {
    const readiness = { ...OBSERVED.plan.readiness, stability: 5 * MINUTE };
    const ready: Observed = {
      ...OBSERVED,
      phase: 'ready',
      plan: { gitops: null, readiness },
      observation: { ...OBSERVED.observation, readyAt: NOW },
    };
    const at = NOW + 60 * MINUTE;
    const unseen = { phase: 'ready', ends: false, until: Number.POSITIVE_INFINITY };
    expect(observe(ready, { kind: 'beginning' }, at)).toMatchObject(unseen);
    expect(observe(ready, { kind: 'cutOff', since: NOW, message: 'no' }, at)).toMatchObject(unseen);
    const clear = (...objects: Parameters<typeof seenOf>) =>
      observe(ready, { kind: 'clear', seen: seenOf(...objects) }, at);
    expect(clear(service(), deployment())).toMatchObject({ phase: 'ready', ends: true });
    expect(clear()).toMatchObject({
      phase: 'failed',
      message: expect.stringContaining('somebody deleted iris'),
      ends: true,
    });
  });

  describe('after a service was lost', () => {
    const loading = seenOf(service(), deployment({ available: 0 }));
    /** What is seen, each a second after the other. */
    function last(...seen: ReturnType<typeof seenOf>[]): Observed {
      let observed = OBSERVED;
      for (const [times, each] of seen.entries()) {
        const at = NOW + times * SECOND;
        const { change } = dueOf(observed, observe(observed, { kind: 'clear', seen: each }, at), at);
        if (change) observed = { ...observed, ...change, endpoints: observed.endpoints, saidAt: at };
      }
      return observed;
    }

    it.each([
      [
        'its namespace was deleted',
        { ...seenOf(), namespace: 'absent' as const },
        'create it and deploy again',
      ],
      ['it was deleted', seenOf(), 'deploy it again'],
      ['it was changed', seenOf(service({ max: 9 })), 'let the GitOps agent sync it'],
    ])('where %s, the advice ends when it is there again as delivered', (_, lost, advice) => {
      expect(last(loading, lost)).toMatchObject({
        phase: 'failed',
        message: expect.stringContaining(advice),
      });
      expect(last(loading, lost, loading)).toMatchObject({
        phase: 'delivered',
        message: '0 of 1 new pod ready',
      });
      expect(last(loading, lost, lost, loading, loading)).toMatchObject({ phase: 'delivered' });
    });

    it('another failure stands until it serves', () => {
      const stopped = seenOf(service({ annotations: { 'serving.kserve.io/stop': 'true' } }), deployment());
      expect(last(loading, stopped, loading)).toMatchObject({
        phase: 'failed',
        message: expect.stringContaining('is stopped'),
      });
    });
  });

  it('keeps the marks it was given where nothing of them changes', () => {
    const sight = { kind: 'clear', seen: seenOf(service(), deployment({ available: 0 })) } as const;
    const first = observe(OBSERVED, sight, NOW + SECOND).observation;
    expect(first).not.toBe(OBSERVED.observation);
    const again = observe({ ...OBSERVED, observation: first }, sight, NOW + 2 * SECOND);
    expect(again.observation).toBe(first);
  });
});

describe('dueOf', () => {
  const outlook = (over: Partial<Outlook>): Outlook => ({
    phase: 'delivered',
    message: '1 of 2 new pods ready',
    endpoints: null,
    observation: OBSERVED.observation,
    ends: false,
    until: Number.POSITIVE_INFINITY,
    ...over,
  });

  it('has nothing to store where nothing is new', () => {
    const { message } = OBSERVED;
    expect(dueOf(OBSERVED, outlook({ message, until: NOW + 7 }), NOW)).toEqual({
      change: null,
      until: NOW + 7,
    });
  });

  it('holds words back for a thirtieth of the time it takes, and five seconds at least', () => {
    const words = outlook({});
    const heldUntil = (at: number, saidAt = at) => dueOf({ ...OBSERVED, saidAt }, words, at);
    expect(heldUntil(NOW + MINUTE)).toEqual({ change: null, until: NOW + MINUTE + 5 * SECOND });
    expect(heldUntil(NOW + 30 * MINUTE)).toEqual({ change: null, until: NOW + 31 * MINUTE });
    expect(heldUntil(NOW + 31 * MINUTE, NOW)).toMatchObject({ change: words });
  });

  it('notes since when a cause lasts at once, without the words that are held back', () => {
    const observation = { ...OBSERVED.observation, since: { imagePull: NOW } };
    const { change } = dueOf(OBSERVED, outlook({ observation }), NOW + SECOND);
    expect(change).toMatchObject({ message: OBSERVED.message, observation });
  });

  it('is not silenced by a clock that was set back', () => {
    const observed = { ...OBSERVED, saidAt: NOW + 60 * MINUTE };
    expect(dueOf(observed, outlook({}), NOW).until).toBe(NOW + 5 * SECOND);
  });

  it.each([outlook({ phase: 'failed' }), outlook({ phase: 'ready' }), outlook({ ends: true })])(
    'tells of a phase or an end at once: %j',
    (urgent) => {
      expect(dueOf(OBSERVED, urgent, NOW).change).toBe(urgent);
    },
  );
});
