import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Deployed, KnownRef } from './deployed.ts';
import { loadGood, policyText, runtimeText } from './policy.fixture.ts';
import { changesOf, deployedOf, manifestBy, namesOnly } from './policy-changes.fixture.ts';
import { planChanges } from './policy-changes.ts';
import type { TargetChange } from './target-changes.ts';

const profile = (cores: number) =>
  JSON.stringify({
    apiVersion: 'modelhook.dev/v1alpha1',
    kind: 'GpuProfile',
    metadata: { name: 'half' },
    spec: { resources: { 'nvidia.com/gpualloc': 1, 'nvidia.com/gpucores': cores } },
  });

const refOf = (repository: string, ref = 'refs/tags/v1.0.0'): KnownRef => ({
  repository,
  ref,
  sha: 'b'.repeat(40),
});

describe('policies', () => {
  it('are added, changed and removed by name, and changed ones say in what', () => {
    const kept = policyText({ match: { repositories: ['plain:kept/*'], tags: ['v*'] } }, 'kept');
    const before = [
      kept,
      policyText({ replicas: { min: 1, max: 1 } }),
      policyText({ match: { repositories: ['plain:x'], tags: ['a'] } }, 'old'),
    ];
    const after = [
      kept,
      policyText({ replicas: { min: 1, max: 2 }, labels: { team: 'a' }, suspend: true }),
      policyText({ match: { repositories: ['plain:y'], tags: ['a'] } }, 'new'),
    ];
    expect(changesOf(before, after, []).policies).toEqual({
      added: [
        {
          name: 'new',
          file: '2.yaml',
          line: 1,
          column: expect.any(Number),
          delivery: { gitops: 'fleet', path: null, adopt: false },
        },
      ],
      changed: [
        {
          name: 'production',
          file: '1.yaml',
          line: 1,
          column: expect.any(Number),
          fields: ['replicas.max', 'labels.team', 'suspend'],
        },
      ],
      removed: [{ name: 'old', file: '2.yaml', line: 1, column: expect.any(Number) }],
    });
  });

  it('that are added tell where they go, if not by default, and whether they take over what is there', () => {
    const added = (delivery: object) =>
      changesOf([], [policyText({ delivery })], []).policies.added.map((one) => one.delivery);
    expect(added({ gitops: 'lab', path: 'x.yaml', adopt: true })).toEqual([
      { gitops: 'lab', path: 'x.yaml', adopt: true },
    ]);
    expect(added({ apply: true, path: 'x.yaml' })).toEqual([{ gitops: null, path: null, adopt: false }]);
  });

  it('change with the GPU profile they use', () => {
    const policy = policyText({ gpuProfile: 'half' });
    const { policies, targets } = changesOf([policy, profile(50)], [policy, profile(60)]);
    expect(policies.changed).toEqual([expect.objectContaining({ name: 'production', fields: ['gpu'] })]);
    expect(targets).toEqual([expect.objectContaining({ effect: 'restarts' })]);
  });

  it('mean the same elsewhere in the files, with a default written out, and with patterns in another order', () => {
    const match = { repositories: ['plain:ml/**', '!plain:ml/old'], tags: ['v*'] };
    const turned = { repositories: ['!plain:ml/old', 'plain:ml/**'], tags: ['v*'] };
    const other = policyText({ match: { repositories: ['plain:x'], tags: ['x'] } }, 'other');
    const changes = changesOf(
      [policyText({ match }), other],
      [other, policyText({ match: turned, updateExisting: true })],
    );
    expect(changes.policies).toEqual({ added: [], changed: [], removed: [] });
    expect(changes).toMatchObject({ targets: [], unchanged: 1 });
  });
});

describe('a deployed target', () => {
  it('restarts where its pods are made anew, with both manifests and their diff', () => {
    const { targets, unchanged } = changesOf([policyText()], [policyText({ labels: { team: 'a' } })]);
    expect(unchanged).toBe(0);
    expect(targets).toEqual([
      {
        rolloutId: 'r1',
        repository: 'plain:ml/vision/iris',
        ref: 'refs/tags/v1.0.0',
        revision: 'v1.0.0',
        sha: deployedOf().sha,
        target: deployedOf().target,
        effect: 'restarts',
        redeploys: 'now',
        before: expect.objectContaining({ manifest: expect.not.stringContaining('team: a'), error: null }),
        after: expect.objectContaining({
          environment: 'production',
          delivery: { gitops: 'fleet', path: 'default/vision/iris.yaml', via: 'push' },
          manifest: expect.stringContaining('team: a'),
        }),
        delivered: { gitops: 'fleet', path: 'default/vision/iris.yaml', via: 'push' },
        isBehind: false,
        waits: false,
        diff: 'default/vision/iris (now) → default/vision/iris (merged)',
      },
    ]);
  });

  it.each([
    ['inPlace', { replicas: { min: 2, max: 2 } }],
    ['restarts', { storage: { uri: 's3://elsewhere/x' } }],
    ['delivery', { delivery: { gitops: 'other' } }],
    ['delivery', { delivery: { gitops: 'fleet', via: 'pullRequest' } }],
    ['moves', { target: { namespace: 'audio' } }],
    ['fails', { storage: { uri: `s3://models/\${branch}` } }],
    ['orphaned', { match: { repositories: ['plain:other/**'], tags: ['v*'] } }],
    ['orphaned', { match: { repositories: ['plain:ml/**'], tags: ['release-*'] } }],
  ])('%s with %j', (effect, spec) => {
    expect(changesOf([policyText()], [policyText(spec)]).targets).toEqual([
      expect.objectContaining({ effect }),
    ]);
  });

  it.each([
    { description: 'Another' },
    { suspend: true },
    { readiness: { timeout: '1h' } },
    { onPolicyChange: 'nextEvent' },
  ])('stays as it is with %j', (spec) => {
    expect(changesOf([policyText()], [policyText(spec)])).toMatchObject({ targets: [], unchanged: 1 });
  });

  it('in Knative mode restarts with whatever changes', () => {
    const knative = (max: number) => policyText({ replicas: { min: 1, max } });
    expect(changesOf([knative(2)], [knative(3)]).targets).toEqual([
      expect.objectContaining({ effect: 'restarts' }),
    ]);
  });

  it('stays in the mode it has, where the policy can do with that', () => {
    const [change] = changesOf([policyText()], [policyText({ replicas: { min: 1, max: 3 } })]).targets;
    expect(change).toMatchObject({ effect: 'inPlace' });
    expect(change?.after?.manifest).toContain('deploymentMode: Standard');
  });

  it('fails in another mode than it has, and stays as it is where it failed before', () => {
    const wrong = policyText({ deploymentMode: 'Knative' });
    const [change] = changesOf([policyText()], [wrong]).targets;
    expect(change).toMatchObject({ effect: 'fails', redeploys: 'never', diff: null });
    expect(change?.after?.error?.reason).toContain('exists in Standard mode');
    const standard = [deployedOf({ mode: 'Standard' })];
    const other = policyText({ deploymentMode: 'Knative', labels: { team: 'a' } });
    expect(changesOf([wrong], [other], standard)).toMatchObject({ targets: [], unchanged: 1 });
  });

  it('is planned by what is stored: without a card that its new policy needs, it fails with the reason', () => {
    const unavailable = { reason: 'there is no README.md at this commit', fix: 'add one' };
    const deployed = deployedOf({ inputs: { ...deployedOf().inputs, modelCard: { unavailable } } });
    const modelFormat = { name: 'sklearn' };
    const [change] = changesOf([policyText({ modelFormat })], [policyText()], [deployed]).targets;
    expect(change).toMatchObject({ effect: 'fails', after: { error: unavailable, manifest: null } });
  });

  it('is of the policy that took over the name of the other, and changes nothing by that', () => {
    const spec = { environment: 'production' };
    const changes = changesOf([policyText(spec)], [policyText(spec, 'renamed')]);
    expect(changes).toMatchObject({ targets: [], unchanged: 1 });
    const [change] = changesOf(
      [policyText(spec)],
      [policyText({ ...spec, labels: { a: 'b' } }, 'renamed')],
    ).targets;
    expect(change).toMatchObject({
      before: { policy: { name: 'production' } },
      after: { policy: { name: 'renamed' } },
    });
  });

  it('is owned again after a revert, and not deployed by it', () => {
    const [change] = changesOf([], [policyText()]).targets;
    expect(change).toMatchObject({ effect: 'owned', redeploys: 'never', before: null });
  });

  it('does not change with the policies of others', () => {
    const other = policyText({ match: { repositories: ['plain:other'], tags: ['v*'] } }, 'other');
    expect(changesOf([policyText()], [policyText(), other])).toMatchObject({ targets: [], unchanged: 1 });
  });

  it('changes with the runtime catalogue where no cluster was read, and else not', () => {
    const [before, after] = ['mlserver', 'other'].map((name) =>
      loadGood(policyText({ runtime: null }), runtimeText(name)),
    );
    if (!before || !after) throw new Error('no policies');
    const effects = (one: Deployed) =>
      planChanges(before, after, [one], [], { diff: namesOnly }).targets.map(({ effect }) => effect);
    const runtimes = { source: 'cluster default', runtimes: before.runtimes };
    expect(effects(deployedOf())).toEqual(['restarts']);
    expect(effects(deployedOf({ inputs: { ...deployedOf().inputs, runtimes } }))).toEqual([]);
  });

  it.each([
    ['now', {}],
    ['suspended', { suspend: true }],
    ['nextEvent', { onPolicyChange: 'nextEvent' }],
    ['nextEvent', { onPolicyChange: 'nextEvent', suspend: true }],
    ['keepsExisting', { updateExisting: false }],
  ])('is redeployed: %s with %j', (redeploys, spec) => {
    expect(changesOf([policyText()], [policyText({ ...spec, labels: { a: 'b' } })]).targets).toEqual([
      expect.objectContaining({ redeploys }),
    ]);
  });
});

describe('what was never deployed', () => {
  const one = policyText({ onPolicyChange: 'nextEvent' });
  const labelled = policyText({ onPolicyChange: 'nextEvent', labels: { team: 'a' } });
  const inPlace = policyText({ labels: { team: 'a' }, replicas: { min: 2, max: 2 } });
  const behind = deployedOf({ manifest: manifestBy([one]) });
  const textsOf = (before: string, after: string, deployed: Deployed) => {
    const texts: string[] = [];
    const diff = (from: { text: string } | null, to: { text: string }) => {
      texts.push(from?.text ?? '', to.text);
      return 'a diff';
    };
    const [was, is] = [before, after].map((text) => loadGood(text, runtimeText('mlserver')));
    if (!was || !is) throw new Error('no policies');
    return { ...planChanges(was, is, [deployed], [], { diff }), texts };
  };

  it('goes with the next change, so that the effect and the diff are of what is there', () => {
    expect(changesOf([labelled], [inPlace]).targets).toMatchObject([{ effect: 'inPlace', isBehind: false }]);
    const { targets, texts } = textsOf(labelled, inPlace, behind);
    expect(targets).toMatchObject([{ effect: 'restarts', redeploys: 'now', isBehind: true }]);
    expect(texts).toEqual([behind.manifest, manifestBy([inPlace])]);
  });

  it('changes nothing where nothing else does', () => {
    const other = policyText({ onPolicyChange: 'redeploy', labels: { team: 'a' } });
    expect(changesOf([labelled], [other], [behind])).toMatchObject({ targets: [], unchanged: 1 });
  });

  it('and is undone needs no rollout, for what is there is so already', () => {
    expect(changesOf([labelled], [policyText()], [behind])).toMatchObject({ targets: [], unchanged: 1 });
    const delivery = { gitops: 'fleet', path: 'elsewhere/iris.yaml' };
    expect(changesOf([labelled], [policyText()], [{ ...behind, delivery }]).targets).toMatchObject([
      { effect: 'delivery', delivered: { ...delivery, via: 'push' } },
    ]);
  });

  it.each([
    ['what people made of it in a pull request', (text: string) => text.replace('pull: it', 'pull: them')],
    ['what nobody can read', () => 'a: [b'],
  ])('restarts where what is there is %s, whatever its spec-hash', (_, edit) => {
    const annotated = policyText({ annotations: { pull: 'it' } });
    const scaled = policyText({ annotations: { pull: 'it' }, replicas: { min: 2, max: 2 } });
    const manifest = manifestBy([annotated]) ?? '';
    const effect = (there: string) =>
      changesOf([annotated], [scaled], [deployedOf({ manifest: there })]).targets.map((each) => each.effect);
    expect(effect(manifest)).toEqual(['inPlace']);
    expect(effect(edit(manifest))).toEqual(['restarts']);
  });
});

describe('a rollout that waits for its suspended policy', () => {
  const suspended = policyText({ suspend: true });
  const older = deployedOf({ ref: 'refs/tags/v0.9.0', sha: '0'.repeat(40) });
  const waiting = deployedOf({ waits: true, manifest: manifestBy([suspended], older) });
  const first = deployedOf({ waits: true, manifest: null });

  it.each([
    ['over another version', waiting, 'default/vision/iris (now) → default/vision/iris (merged)'],
    ['as the first of its target', first, 'nothing → default/vision/iris (merged)'],
  ])('%s goes on when that is lifted, and needs no other rollout', (_, one, diff) => {
    expect(changesOf([suspended], [policyText()], [one]).targets).toMatchObject([
      { effect: 'released', redeploys: 'goesOn', revision: 'v1.0.0', diff },
    ]);
  });

  it('does not change where its policy stays suspended, or was not suspended', () => {
    const described = policyText({ suspend: true, description: 'Another' });
    for (const one of [waiting, first]) {
      expect(changesOf([suspended], [described], [one])).toMatchObject({ targets: [], unchanged: 1 });
      const [from, to] = [policyText(), policyText({ description: 'Another' })];
      expect(changesOf([from], [to], [one])).toMatchObject({ targets: [], unchanged: 1 });
    }
    const labelled = policyText({ suspend: true, labels: { team: 'a' } });
    expect(changesOf([suspended], [labelled], [first])).toMatchObject({ targets: [], unchanged: 1 });
  });

  it('of a change that is undone is no change, whether the suspension is lifted or not', () => {
    const labelled = policyText({ suspend: true, labels: { team: 'a' } });
    const held = deployedOf({ waits: true, manifest: manifestBy([policyText()]) });
    for (const undone of [policyText(), suspended])
      expect(changesOf([labelled], [undone], [held])).toMatchObject({ targets: [], unchanged: 1 });
    expect(changesOf([suspended], [policyText()], [held])).toMatchObject({ targets: [], unchanged: 1 });
  });

  it('is deployed anew with what else the merge that lifts it changes', () => {
    const labelled = { labels: { team: 'a' } };
    expect(changesOf([suspended], [policyText(labelled)], [waiting]).targets).toMatchObject([
      { effect: 'restarts', redeploys: 'now', isBehind: true, waits: true },
    ]);
    const later = policyText({ ...labelled, onPolicyChange: 'nextEvent' });
    expect(changesOf([suspended], [later], [waiting]).targets).toMatchObject([{ redeploys: 'goesOn' }]);
    const otherwise = policyText({ deploymentMode: 'Knative', delivery: { gitops: 'other' } });
    const planned = { ...first, delivery: { gitops: 'fleet', path: 'iris.yaml' } };
    expect(changesOf([suspended], [otherwise], [planned]).targets).toMatchObject([
      { effect: 'released', redeploys: 'goesOn', delivered: null },
    ]);
  });

  it('of a policy that gets another name does not go on, for it is of the one before', () => {
    const spec = { environment: 'production' };
    const [from, to] = [policyText({ ...spec, suspend: true }), policyText(spec, 'renamed')];
    expect(changesOf([from], [to], [waiting])).toMatchObject({ targets: [], unchanged: 1 });
  });
});

describe('what policies match', () => {
  const known = ['plain:ml/a', 'plain:ml/b', 'plain:other/c'].map((repository) => refOf(repository));
  const matching = (repositories: string[], tags = ['v*'], name = 'production') =>
    policyText({ match: { repositories, tags } }, name);

  it('is told by repository, and refs that are new to a policy by name', () => {
    const { matches, newRefs } = changesOf(
      [matching(['plain:ml/**'])],
      [matching(['plain:*/b', 'plain:*/c'])],
      [],
      known,
    );
    expect(matches).toEqual([
      {
        policy: 'production',
        now: { total: 1, items: ['plain:other/c'] },
        noLonger: { total: 1, items: ['plain:ml/a'] },
      },
    ]);
    expect(newRefs).toEqual({ total: 1, items: [{ policy: 'production', ...refOf('plain:other/c') }] });
  });

  it('is told by refs where the repositories are the same', () => {
    const { matches, newRefs } = changesOf(
      [matching(['plain:ml/**'])],
      [matching(['plain:ml/**'], ['release-*'])],
      [],
      [...known, refOf('plain:ml/a', 'refs/tags/release-1')],
    );
    expect(matches).toEqual([
      { policy: 'production', now: { total: 0, items: [] }, noLonger: { total: 1, items: ['plain:ml/b'] } },
    ]);
    expect(newRefs.items).toEqual([{ policy: 'production', ...refOf('plain:ml/a', 'refs/tags/release-1') }]);
  });

  it('is new to no policy that has deployed it already', () => {
    expect(changesOf([], [policyText()]).newRefs).toEqual({ total: 0, items: [] });
    const elsewhere = policyText({ target: { namespace: 'audio' } }, 'second');
    expect(changesOf([policyText()], [policyText(), elsewhere]).newRefs.items).toEqual([
      expect.objectContaining({ policy: 'second', ref: 'refs/tags/v1.0.0' }),
    ]);
  });

  it('is counted where it is more than anybody reads', () => {
    const many = Array.from({ length: 1200 }, (_, at) => refOf(`plain:ml/model-${at}`));
    const { matches, newRefs } = changesOf([], [matching(['plain:ml/**'])], [], many);
    expect([matches[0]?.now.total, matches[0]?.now.items.length]).toEqual([1200, 100]);
    expect([newRefs.total, newRefs.items.length]).toEqual([1200, 1000]);
  });
});

describe('a target of another repository', () => {
  const rival = policyText(
    {
      match: { repositories: ['plain:evil/*'], tags: ['v*'] },
      target: { namespace: 'vision', name: 'iris' },
    },
    'evil',
  );

  it('is told with both where it is deployed', () => {
    const { taken } = changesOf([policyText()], [policyText(), rival], undefined, [
      refOf('plain:evil/thief'),
    ]);
    expect(taken).toEqual({
      total: 1,
      items: [
        {
          target: deployedOf().target,
          file: null,
          policy: expect.objectContaining({ name: 'evil', file: '1.yaml' }),
          repository: 'plain:evil/thief',
          ref: 'refs/tags/v1.0.0',
          owner: {
            repository: 'plain:ml/vision/iris',
            ref: 'refs/tags/v1.0.0',
            policy: 'production',
            deployed: true,
          },
        },
      ],
    });
  });

  it('is told with its file where only that is claimed, and once where both are', () => {
    const thief = (path: string) =>
      policyText(
        {
          match: { repositories: ['plain:evil/*'], tags: ['v*'] },
          target: { namespace: 'evil' },
          delivery: { gitops: 'fleet', path },
        },
        'evil',
      );
    const taken = (
      after: string,
      before = policyText(),
      delivery = { gitops: 'fleet', path: 'a/iris.yaml' },
    ) =>
      changesOf([before], [policyText(), after], [deployedOf({ delivery })], [refOf('plain:evil/thief')])
        .taken;
    expect(taken(thief('a/iris.yaml')).items).toEqual([
      expect.objectContaining({
        target: { cluster: 'default', namespace: 'evil', name: 'thief' },
        file: { gitops: 'fleet', path: 'a/iris.yaml' },
        repository: 'plain:evil/thief',
        owner: expect.objectContaining({ repository: 'plain:ml/vision/iris', deployed: true }),
      }),
    ]);
    expect(taken(thief('a/other.yaml')).total).toBe(0);
    expect(taken(thief('a/iris.yaml'), undefined, { gitops: 'lab', path: 'a/iris.yaml' }).total).toBe(0);
    expect(taken(rival, undefined, { gitops: 'fleet', path: 'default/vision/iris.yaml' }).total).toBe(1);
  });

  it('is told where a policy that was there goes on to claim its file', () => {
    const moving = (path: string) =>
      policyText(
        { match: { repositories: ['plain:evil/*'], tags: ['v*'] }, delivery: { gitops: 'fleet', path } },
        'evil',
      );
    const deployed = [deployedOf({ delivery: { gitops: 'fleet', path: 'x.yaml' } })];
    const known = [refOf('plain:evil/thief')];
    const taken = (before: string, after: string) =>
      changesOf([before], [after], deployed, known).taken.items.map(({ file }) => file);
    expect(taken(moving('y.yaml'), moving('x.yaml'))).toEqual([{ gitops: 'fleet', path: 'x.yaml' }]);
    expect(taken(moving('x.yaml'), moving('x.yaml'))).toEqual([]);
    expect(taken(moving('y.yaml'), moving(`\${tag}.yaml`))).toEqual([]);
  });

  it('is told where two that are not deployed meet, and not again when nothing new is claimed', () => {
    const known = [refOf('plain:evil/thief'), refOf('plain:ml/iris')];
    const changes = (before: string[]) => changesOf(before, [policyText(), rival], [], known).taken;
    expect(changes([policyText()]).items).toEqual([
      expect.objectContaining({
        repository: 'plain:evil/thief',
        owner: {
          repository: 'plain:ml/iris',
          ref: 'refs/tags/v1.0.0',
          policy: 'production',
          deployed: false,
        },
      }),
    ]);
    expect(changes([policyText(), rival]).total).toBe(0);
  });

  it('is not what versions of one repository share', () => {
    const known = ['v1', 'v2'].map((tag) => refOf('plain:ml/vision/iris', `refs/tags/${tag}`));
    expect(changesOf([], [policyText()], undefined, known).taken.total).toBe(0);
  });
});

describe('any change', () => {
  const specs = fc.record(
    {
      replicas: fc.constantFrom({ min: 1, max: 1 }, { min: 2, max: 2 }, { min: 1, max: 3 }),
      match: fc.constantFrom(
        { repositories: ['plain:ml/**'], tags: ['v*'] },
        { repositories: ['plain:ml/vision/*'], tags: ['v1*'] },
        { repositories: ['plain:other/*'], tags: ['**'] },
      ),
      target: fc.constantFrom({ namespace: 'vision' }, { namespace: 'audio' }),
      labels: fc.constantFrom({}, { team: 'a' }),
      storage: fc.constantFrom({ uri: 's3://a/b' }, { uri: `s3://a/\${branch}` }),
      suspend: fc.boolean(),
      delivery: fc.constantFrom({ gitops: 'fleet' }, { apply: true }),
    },
    { requiredKeys: [] },
  );
  const sets = fc
    .tuple(fc.option(specs), fc.option(specs))
    .map(([one, other]) => [
      ...(one ? [policyText(one)] : []),
      ...(other ? [policyText({ ...other, target: { namespace: 'second' } }, 'second')] : []),
    ]);
  const deployed = ['vision', 'audio', 'second'].flatMap((namespace, at) =>
    ['iris', 'rose'].map((name) =>
      deployedOf({
        rolloutId: `r${at}${name}`,
        repository: `plain:ml/vision/${name}`,
        policy: namespace === 'second' ? 'second' : 'production',
        target: { cluster: 'default', namespace, name },
        mode: 'Standard',
      }),
    ),
  );
  const known = [refOf('plain:ml/vision/iris', 'refs/tags/v2'), refOf('plain:other/x'), refOf('plain:ml/y')];

  test('to the same policies changes nothing', () => {
    fc.assert(
      fc.property(sets, (texts) => {
        expect(changesOf(texts, texts, deployed, known)).toMatchObject({
          policies: { added: [], changed: [], removed: [] },
          matches: [],
          targets: [],
          unchanged: deployed.length,
          newRefs: { total: 0 },
          taken: { total: 0 },
        });
      }),
    );
  });

  test('makes a difference to the same targets, whatever earlier changes left undeployed, but for those that are so already', () => {
    fc.assert(
      fc.property(sets, sets, sets, (was, before, after) => {
        const behind = deployed.map((one) => ({
          ...one,
          manifest: manifestBy(was, one) ?? 'what nobody can read',
        }));
        const isThere = ({ rolloutId, before: from, after: to }: TargetChange) =>
          behind.find((one) => one.rolloutId === rolloutId)?.manifest === to?.manifest &&
          JSON.stringify(from?.delivery) === JSON.stringify(to?.delivery);
        const inForce = changesOf(before, after, deployed);
        const real = changesOf(before, after, behind);
        const idsOf = (changes: readonly TargetChange[]) => changes.map(({ rolloutId }) => rolloutId);
        expect(idsOf(real.targets)).toEqual(idsOf(inForce.targets.filter((change) => !isThere(change))));
        expect(real.unchanged + real.targets.length).toBe(deployed.length);
      }),
    );
  });

  test('is reverted by the same thing backwards, where the policies in force render what is there', () => {
    fc.assert(
      fc.property(sets, sets, (before, after) => {
        const there = changesOf(before, after, deployed, known);
        const back = changesOf(after, before, deployed, known);
        expect(back.policies.added).toMatchObject(there.policies.removed);
        expect(there.policies.added).toMatchObject(back.policies.removed);
        expect(back.policies.changed.map(({ fields }) => fields.toSorted())).toEqual(
          there.policies.changed.map(({ fields }) => fields.toSorted()),
        );
        expect(back.matches).toEqual(
          there.matches.map(({ policy, now, noLonger }) => ({ policy, now: noLonger, noLonger: now })),
        );
        expect(back.unchanged).toBe(there.unchanged);
        expect(back.targets.map(({ rolloutId, before: a, after: b }) => [rolloutId, a, b])).toEqual(
          there.targets.map(({ rolloutId, before: a, after: b }) => [rolloutId, b, a]),
        );
      }),
    );
  });

  test('is the same whatever the order of files, rollouts and refs, and is plain data', () => {
    const other = policyText({ match: { repositories: ['plain:q'], tags: ['q'] } }, 'other');
    const withoutPlaces = (changes: object) => JSON.stringify(changes).replaceAll(/"\d\.yaml"/g, '');
    fc.assert(
      fc.property(sets, sets, (before, after) => {
        const one = changesOf(before, [...after, other], deployed, known);
        const turned = changesOf(
          before.toReversed(),
          [other, ...after.toReversed()],
          deployed.toReversed(),
          known.toReversed(),
        );
        expect(withoutPlaces(turned)).toBe(withoutPlaces(one));
        expect(JSON.parse(JSON.stringify(one))).toEqual(one);
      }),
    );
  });
});
