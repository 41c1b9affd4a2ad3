/** What every delivery target does, the real ones and the fake. */
import { expect, test } from 'vitest';
import { StalledError } from '../core/errors.ts';
import type { Delivery, DeliveryOutcome, DeliveryTarget } from './target.ts';

/** A target to try, and a look at what it holds. */
export interface TargetSite {
  target: DeliveryTarget;
  read(path: string): Promise<string | null>;
  /** Puts a file there by somebody else's hand. */
  put(path: string, text: string): Promise<void>;
}

/** A delivery of a small service; give only what a case is about. */
export function deliveryOf(rolloutId: string, given: Partial<Delivery> = {}): Delivery {
  const { repository = 'plain:ml/iris', revision = 'v1.0.0' } = given;
  const target = given.target ?? { cluster: 'default', namespace: 'models', name: 'iris' };
  return {
    rolloutId,
    repository,
    sha: 'c'.repeat(40),
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
    updateExisting: true,
    modes: ['Standard'],
    pullRequest: null,
    formerNames: [],
    ...given,
  };
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
export const allWanted = async (ids: readonly string[]): Promise<Set<string>> => new Set(ids);

export const failureOf = (outcome: DeliveryOutcome | undefined): unknown =>
  outcome?.kind === 'failed' ? outcome.error : undefined;

export function describeTarget(create: () => Promise<TargetSite>): void {
  const deliver = async (site: TargetSite, ...batch: Delivery[]) => site.target.deliver(batch, allWanted);

  test('puts the manifest at its path and says where', async () => {
    const site = await create();
    const delivery = deliveryOf('r1');
    const outcomes = await deliver(site, delivery);
    expect(outcomes.get('r1')).toMatchObject({
      kind: 'delivered',
      receipt: { path: 'default/models/iris.yaml', commit: expect.stringMatching(/^[0-9a-f]{40}$/) },
      message: expect.stringMatching(/^Committed [0-9a-f]{7} to fleet$/),
    });
    expect(await site.read(delivery.path)).toBe(delivery.manifest);
  });

  test('gives every delivery of a batch an outcome, and the later one of a path wins', async () => {
    const site = await create();
    const later = deliveryOf('r2', { revision: 'v1.1.0' });
    const outcomes = await deliver(site, deliveryOf('r1'), later);
    expect([...outcomes.keys()]).toEqual(['r1', 'r2']);
    expect([...outcomes.values()].map(({ kind }) => kind)).toEqual(['delivered', 'delivered']);
    expect(await site.read(later.path)).toBe(later.manifest);
  });

  test('counts identical content as delivered without a commit', async () => {
    const site = await create();
    await deliver(site, deliveryOf('r1'));
    const outcomes = await deliver(site, deliveryOf('r2'));
    expect(outcomes.get('r2')).toMatchObject({ kind: 'delivered', receipt: { commit: null } });
  });

  test('drops what is no longer wanted', async () => {
    const site = await create();
    const dropped = deliveryOf('r1', { target: { cluster: 'default', namespace: 'models', name: 'rose' } });
    const outcomes = await site.target.deliver([dropped, deliveryOf('r2')], async () => new Set(['r2']));
    expect(outcomes.get('r1')).toEqual({ kind: 'dropped' });
    expect(outcomes.get('r2')).toMatchObject({ kind: 'delivered' });
    expect(await site.read(dropped.path)).toBeNull();
  });

  test('never overwrites what it does not manage, unless the policy adopts it', async () => {
    const site = await create();
    await site.put('default/models/iris.yaml', 'kind: InferenceService\n');
    const refused = failureOf((await deliver(site, deliveryOf('r1'))).get('r1'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('default/models/iris.yaml in fleet is not managed by modelhook');
    expect(await site.read('default/models/iris.yaml')).toBe('kind: InferenceService\n');

    const adopted = deliveryOf('r2', { adopt: true });
    expect((await deliver(site, adopted)).get('r2')).toMatchObject({ kind: 'delivered' });
    expect(await site.read(adopted.path)).toBe(adopted.manifest);
  });

  test('leaves a target to the repository that deployed it first, and names both', async () => {
    const site = await create();
    await deliver(site, deliveryOf('r1'));
    const other = deliveryOf('r2', { repository: 'plain:other/iris', adopt: true });
    const refused = failureOf((await deliver(site, other)).get('r2'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toMatch(/belongs to plain:ml\/iris.*plain:other\/iris cannot take it/);
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

  test('refuses a path that already holds another target', async () => {
    const site = await create();
    await deliver(site, deliveryOf('r1', { path: 'one.yaml' }));
    const rose = { cluster: 'default', namespace: 'models', name: 'rose' };
    const refused = failureOf(
      (await deliver(site, deliveryOf('r2', { path: 'one.yaml', target: rose }))).get('r2'),
    );
    expect(String(refused)).toContain('already holds models/iris, not models/rose');
  });

  test('takes a service over to the mode it exists in where the policy can do with it, and refuses it else', async () => {
    const site = await create();
    const first = deliveryOf('r1');
    const inMode = (manifest: string, mode: string): string =>
      manifest.replace('  annotations:\n', `  annotations:\n    serving.kserve.io/deploymentMode: ${mode}\n`);
    await deliver(site, { ...first, manifest: inMode(first.manifest, 'RawDeployment') });
    const other = deliveryOf('r2', { revision: 'v1.1.0', modes: ['Knative'] });
    const knative = { ...other, manifest: inMode(other.manifest, 'Serverless') };
    const refused = failureOf((await deliver(site, knative)).get('r2'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('default/models/iris exists in Standard mode');
    const either = { ...knative, rolloutId: 'r3', modes: ['Knative', 'Standard'] as const };
    const outcome = (await deliver(site, either)).get('r3');
    const now = await site.read(first.path);
    expect(outcome).toMatchObject({ kind: 'delivered', manifest: now });
    expect(now).toContain('serving.kserve.io/deploymentMode: RawDeployment');
    expect(now).toContain('modelhook.dev/revision: v1.1.0');
    expect((await deliver(site, { ...either, rolloutId: 'r4' })).get('r4')).toMatchObject({
      kind: 'delivered',
      receipt: { commit: null },
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

  test('refuses to change an existing service where the policy does not update', async () => {
    const site = await create();
    const first = deliveryOf('r1');
    await deliver(site, first);
    const outcomes = await deliver(site, deliveryOf('r2', { revision: 'v1.1.0', updateExisting: false }));
    const refused = failureOf(outcomes.get('r2'));
    expect(refused).toBeInstanceOf(StalledError);
    expect(String(refused)).toContain('has updateExisting: false');
    expect(await site.read(first.path)).toBe(first.manifest);
  });
}
