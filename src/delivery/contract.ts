/** What every delivery target does, the real ones and the fake. */
import { expect, test } from 'vitest';
import { StalledError } from '../core/errors.ts';
import type { Delivery, DeliveryOutcome, DeliveryTarget, Errand, Removal, StillWanted } from './target.ts';

type Place = Pick<Errand, 'path' | 'target'>;

/** A target to try, and a look at what it holds. */
export interface TargetSite {
  target: DeliveryTarget;
  /** @returns the manifest in a place; null: nothing */
  read(place: Place): Promise<string | null>;
  /** Puts a manifest there by somebody else's hand. */
  put(place: Place, manifest: string): Promise<void>;
}

/** One that holds files. */
export interface FileSite {
  target: DeliveryTarget;
  read(path: string): Promise<string | null>;
  /** Puts a file there by somebody else's hand. */
  put(path: string, text: string): Promise<void>;
}

const SHA = 'c'.repeat(40);

/** A delivery of a small service; give only what a case is about. */
export function deliveryOf(rolloutId: string, given: Partial<Delivery> = {}): Delivery {
  const { repository = 'plain:ml/iris', revision = 'v1.0.0' } = given;
  const target = given.target ?? { cluster: 'default', namespace: 'models', name: 'iris' };
  return {
    rolloutId,
    repository,
    sha: SHA,
    revision,
    policy: 'production',
    policyRevision: 'd'.repeat(40),
    environment: 'production',
    why: 'It matches.',
    decisions: [],
    warnings: [],
    page: `https://modelhook.example.com/rollouts/${rolloutId}`,
    target,
    path: `default/models/${target.name}.yaml`,
    manifest: manifestOf(repository, target, revision, given.sha),
    adopt: false,
    selfHeal: false,
    updateExisting: true,
    modes: ['Standard'],
    pullRequest: null,
    formerNames: [],
    ...given,
  };
}

/** Takes away what {@link deliveryOf} brings. */
export function removalOf(rolloutId: string, given: Partial<Removal> = {}): Removal {
  const { manifest: _, adopt, selfHeal, updateExisting, modes, ...base } = deliveryOf(rolloutId);
  return { ...base, why: 'It is gone.', ...given, manifest: null, commits: given.commits ?? [SHA] };
}

/** A manifest as short as ownership needs it. */
export const manifestOf = (
  repository: string,
  { namespace, name }: Pick<Delivery['target'], 'namespace' | 'name'>,
  revision = 'v1.0.0',
  sha = 'c'.repeat(40),
): string => `apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: ${name}
  namespace: ${namespace}
  labels:
    app.kubernetes.io/managed-by: modelhook
  annotations:
    modelhook.dev/repository: ${repository}
spec:
  predictor:
    annotations:
      modelhook.dev/revision: ${revision}
      modelhook.dev/sha: "${sha}"
`;

/** For deliveries that nothing has ended meanwhile. */
const allWanted = async (ids: readonly string[]): Promise<Set<string>> => new Set(ids);

/** @returns what came of each errand, in the order in which it was told; a throw is what the others fail with */
export async function outcomesOf(
  target: DeliveryTarget,
  batch: readonly Errand[],
  stillWanted: StillWanted = allWanted,
): Promise<Map<string, DeliveryOutcome>> {
  const told: [string, DeliveryOutcome][] = [];
  const failure = await target
    .deliver(batch, stillWanted, (...outcome) => told.push(outcome))
    .catch((error: unknown): DeliveryOutcome => ({ kind: 'failed', error }));
  const outcomes = new Map(told);
  expect(told, 'each is told once').toHaveLength(outcomes.size);
  for (const { rolloutId } of batch)
    if (failure && !outcomes.has(rolloutId)) outcomes.set(rolloutId, failure);
  return outcomes;
}

export const failureOf = (outcome: DeliveryOutcome | undefined): unknown =>
  outcome?.kind === 'failed' ? outcome.error : undefined;

export function describeTarget(create: () => Promise<TargetSite>): void {
  const deliver = async (site: TargetSite, ...batch: Errand[]) => outcomesOf(site.target, batch);

  test('puts the manifest in its place', async () => {
    const site = await create();
    const delivery = deliveryOf('r1');
    const outcomes = await deliver(site, delivery);
    expect(outcomes.get('r1')).toMatchObject({ kind: 'delivered', manifest: delivery.manifest });
    expect(await site.read(delivery)).toBe(delivery.manifest);
  });

  test('gives every errand of a batch an outcome, and the later one of a place wins', async () => {
    const site = await create();
    const later = deliveryOf('r2', { revision: 'v1.1.0' });
    const outcomes = await deliver(site, deliveryOf('r1'), later);
    expect([...outcomes.keys()]).toEqual(['r1', 'r2']);
    expect([...outcomes.values()].map(({ kind }) => kind)).toEqual(['delivered', 'delivered']);
    expect(await site.read(later)).toBe(later.manifest);
  });

  test('counts what is the same already as delivered', async () => {
    const site = await create();
    await deliver(site, deliveryOf('r1'));
    const outcomes = await deliver(site, deliveryOf('r2', { updateExisting: false }));
    expect(outcomes.get('r2')).toMatchObject({
      kind: 'delivered',
      receipt: { commit: null },
      message: expect.stringMatching(/^Unchanged in .*\biris.* is already so$/),
    });
  });

  test('drops what is no longer wanted', async () => {
    const site = await create();
    const dropped = deliveryOf('r1', { target: { cluster: 'default', namespace: 'models', name: 'rose' } });
    const outcomes = await outcomesOf(site.target, [dropped, deliveryOf('r2')], async () => new Set(['r2']));
    expect(outcomes.get('r1')).toEqual({ kind: 'dropped' });
    expect(outcomes.get('r2')).toMatchObject({ kind: 'delivered' });
    expect(await site.read(dropped)).toBeNull();
  });

  test('never overwrites what it does not manage, unless the policy adopts it', async () => {
    const site = await create();
    const adopted = deliveryOf('r2', { adopt: true });
    const foreign = adopted.manifest.replace('managed-by: modelhook', 'managed-by: somebody');
    await site.put(adopted, foreign);
    const refused = failureOf((await deliver(site, deliveryOf('r1'))).get('r1'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toMatch(
      /models\/iris.* is not managed by modelhook; .*, or set delivery.adopt: true in policy "production"/,
    );
    expect(await site.read(adopted)).toBe(foreign);

    expect((await deliver(site, adopted)).get('r2')).toMatchObject({ kind: 'delivered' });
    expect(await site.read(adopted)).toBe(adopted.manifest);
  });

  test('leaves a target to the repository that deployed it first, and names both', async () => {
    const site = await create();
    await deliver(site, deliveryOf('r1'));
    const other = deliveryOf('r2', { repository: 'plain:other/iris', adopt: true });
    const refused = failureOf((await deliver(site, other)).get('r2'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toMatch(/belongs to plain:ml\/iris.*plain:other\/iris cannot take it/);
    const renamed = { ...other, rolloutId: 'r3', formerNames: ['plain:ml/iris'] };
    expect((await deliver(site, renamed)).get('r3')).toMatchObject({ kind: 'delivered' });
  });

  test('refuses a second repository within one batch just the same', async () => {
    const site = await create();
    const outcomes = await deliver(
      site,
      deliveryOf('r1'),
      deliveryOf('r2', { repository: 'plain:other/iris' }),
    );
    expect(outcomes.get('r1')).toMatchObject({ kind: 'delivered' });
    expect(failureOf(outcomes.get('r2'))).toBeInstanceOf(StalledError);
  });

  test('takes a service over to the mode it exists in where the policy can do with it, and refuses it else', async () => {
    const site = await create();
    const first = deliveryOf('r1');
    const inMode = (manifest: string, mode: string): string =>
      manifest.replace(
        /^ {4}modelhook.dev\/repository: .*\n/m,
        `$&    serving.kserve.io/deploymentMode: ${mode}\n`,
      );
    await deliver(site, { ...first, manifest: inMode(first.manifest, 'RawDeployment') });
    const other = deliveryOf('r2', { revision: 'v1.1.0', modes: ['Knative'] });
    const knative = { ...other, manifest: inMode(other.manifest, 'Serverless') };
    const refused = failureOf((await deliver(site, knative)).get('r2'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('default/models/iris exists in Standard mode');
    const either = { ...knative, rolloutId: 'r3', modes: ['Knative', 'Standard'] as const };
    const outcome = (await deliver(site, either)).get('r3');
    const now = await site.read(first);
    expect(outcome).toMatchObject({ kind: 'delivered', manifest: now });
    expect(now).toContain('serving.kserve.io/deploymentMode: RawDeployment');
    expect(now).toContain('modelhook.dev/revision: v1.1.0');
    expect((await deliver(site, { ...either, rolloutId: 'r4' })).get('r4')).toMatchObject({
      kind: 'delivered',
      receipt: { commit: null },
    });
  });

  test('refuses to change an existing service where the policy does not update', async () => {
    const site = await create();
    const first = deliveryOf('r1');
    await deliver(site, first);
    const outcomes = await deliver(site, deliveryOf('r2', { revision: 'v1.1.0', updateExisting: false }));
    const refused = failureOf(outcomes.get('r2'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('has updateExisting: false');
    expect(await site.read(first)).toBe(first.manifest);
  });

  test('removes what a ref has brought, and counts what is not there as removed', async () => {
    const site = await create();
    const delivery = deliveryOf('r1');
    await deliver(site, delivery);
    expect((await deliver(site, removalOf('r2'))).get('r2')).toMatchObject({
      kind: 'removed',
      message: expect.stringMatching(/^Removed from /),
    });
    expect(await site.read(delivery)).toBeNull();
    expect((await deliver(site, removalOf('r3'))).get('r3')).toMatchObject({
      kind: 'removed',
      message: expect.stringMatching(/^Nothing to remove in .*\biris.* is not there$/),
    });
    await deliver(site, { ...delivery, rolloutId: 'r4' });
    expect(await site.read(delivery)).toBe(delivery.manifest);
  });

  test('removes nothing that another ref, another repository or a person has made of it', async () => {
    const site = await create();
    const delivery = deliveryOf('r1');
    await deliver(site, delivery);
    const messages = async (removal: Removal): Promise<string> => {
      const outcome = (await deliver(site, removal)).get(removal.rolloutId);
      return outcome?.kind === 'cancelled' ? outcome.message : `not cancelled: ${JSON.stringify(outcome)}`;
    };
    expect(await messages(removalOf('r2', { commits: ['d'.repeat(40)] }))).toMatch(
      /^Cancelled: .*iris.* holds v1.0.0 of another ref, so it stays$/,
    );
    // Two tags of one commit: what is there is of the other one.
    expect(await messages(removalOf('r5', { revision: 'v1.0.0-old' }))).toMatch(
      /of another ref, so it stays$/,
    );
    expect(await messages(removalOf('r3', { repository: 'plain:other/iris' }))).toMatch(
      /^Cancelled: .* belongs to plain:ml\/iris, so it stays$/,
    );
    const foreign = delivery.manifest.replace('managed-by: modelhook', 'managed-by: somebody');
    await site.put(delivery, foreign);
    expect(await messages(removalOf('r4'))).toMatch(
      /^Cancelled: .* is not managed by modelhook, so it stays$/,
    );
    expect(await site.read(delivery)).toBe(foreign);
  });

  test('removes nothing for a rollout that has ended', async () => {
    const site = await create();
    const delivery = deliveryOf('r1');
    await deliver(site, delivery);
    const outcomes = await outcomesOf(site.target, [removalOf('r2')], async () => new Set());
    expect(outcomes.get('r2')).toEqual({ kind: 'dropped' });
    expect(await site.read(delivery)).toBe(delivery.manifest);
  });

  test('does what a batch does to one place in its order', async () => {
    const site = await create();
    const again = deliveryOf('r3', { revision: 'v1.1.0' });
    await deliver(site, deliveryOf('r0'));
    const outcomes = await deliver(site, deliveryOf('r1'), removalOf('r2'), again);
    expect([...outcomes.values()].map(({ kind }) => kind).toSorted()).toEqual([
      'delivered',
      'delivered',
      'removed',
    ]);
    expect(await site.read(again)).toBe(again.manifest);
  });
}

/** What a target does besides that keeps each manifest in a file, and makes commits. */
export function describeFileTarget(create: () => Promise<FileSite>): void {
  const deliver = async (site: FileSite, ...batch: Errand[]) => outcomesOf(site.target, batch);

  describeTarget(async () => {
    const site = await create();
    return {
      target: site.target,
      read: ({ path }) => site.read(path),
      put: ({ path }, manifest) => site.put(path, manifest),
    };
  });

  test('says where the manifest is, and with which commit', async () => {
    const site = await create();
    expect((await deliver(site, deliveryOf('r1'))).get('r1')).toMatchObject({
      receipt: { path: 'default/models/iris.yaml', commit: expect.stringMatching(/^[0-9a-f]{40}$/) },
      message: expect.stringMatching(/^Committed [0-9a-f]{7} to fleet$/),
    });
    expect((await deliver(site, removalOf('r2'))).get('r2')).toMatchObject({
      receipt: { path: 'default/models/iris.yaml', commit: expect.stringMatching(/^[0-9a-f]{40}$/) },
      message: expect.stringMatching(/^Removed from fleet with [0-9a-f]{7}$/),
    });
  });

  test('never overwrites a file that is no manifest at all', async () => {
    const site = await create();
    await site.put('default/models/iris.yaml', 'kind: InferenceService\n');
    const refused = failureOf((await deliver(site, deliveryOf('r1'))).get('r1'));
    expect(String(refused)).toContain('default/models/iris.yaml in fleet is not managed by modelhook');
    expect(await site.read('default/models/iris.yaml')).toBe('kind: InferenceService\n');
  });

  test('refuses a path that already holds another target, and leaves it there', async () => {
    const site = await create();
    await deliver(site, deliveryOf('r1', { path: 'one.yaml' }));
    const rose = { cluster: 'default', namespace: 'models', name: 'rose' };
    const refused = failureOf(
      (await deliver(site, deliveryOf('r2', { path: 'one.yaml', target: rose }))).get('r2'),
    );
    expect(String(refused)).toContain('already holds models/iris, not models/rose');
    const left = (await deliver(site, removalOf('r3', { path: 'one.yaml', target: rose }))).get('r3');
    expect(left).toMatchObject({
      kind: 'cancelled',
      message: 'Cancelled: one.yaml in fleet holds models/iris, so it stays',
    });
  });

  test('adopts a file that nobody manages, but neither another service nor other documents beside it', async () => {
    const site = await create();
    const delivery = deliveryOf('r1', { adopt: true });
    const foreign = delivery.manifest.replace('    app.kubernetes.io/managed-by: modelhook\n', '    a: b\n');
    await site.put(delivery.path, foreign.replace('name: iris', 'name: rose'));
    expect(String(failureOf((await deliver(site, delivery)).get('r1')))).toContain(
      'already holds models/rose',
    );
    await site.put(delivery.path, `${foreign}---\nkind: ConfigMap\n`);
    const beside = (await deliver(site, { ...delivery, rolloutId: 'r2' })).get('r2');
    expect(String(failureOf(beside))).toContain('holds 2 documents');
    await site.put(delivery.path, foreign);
    expect((await deliver(site, { ...delivery, rolloutId: 'r3' })).get('r3')).toMatchObject({
      kind: 'delivered',
    });
    expect(await site.read(delivery.path)).toBe(delivery.manifest);
  });
}
