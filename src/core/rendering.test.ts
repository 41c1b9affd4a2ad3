/** What holds for every policy that is accepted, whatever is pushed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { StalledError } from './errors.ts';
import { readManaged, renderInferenceService, withMode } from './inference-service.ts';
import { type JsonObject, valueAt } from './json.ts';
import { ASSUMED_KSERVE } from './kserve.ts';
import { parseModelCard } from './model-card.ts';
import { KSERVE_NAME, kubernetesName, LABEL_VALUE, unsafePath } from './names.ts';
import { type ModelCardInput, makePlan, type Plan, type PlanInput } from './plan.ts';
import { load, loadGood, policyText, runtimeText } from './policy.fixture.ts';
import { loadPolicies } from './policy-files.ts';
import { unsafeName, unsafeRef } from './ref-event.ts';
import { checkStructure } from './structure.ts';
import { TEMPLATE_VARIABLES } from './template.ts';

/** Any text a forge, a model card or a person may bring, the hostile ones more often. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.constantFrom(
    'a: b',
    '- x',
    '"',
    "'",
    '#',
    '---',
    '...',
    '|',
    '>-',
    '&a',
    '*a',
    '!!str',
    '{}',
    '${sha}',
    '\n\nkey: value',
    'yes',
    'null',
    '~',
    '0x1f',
    '1e3',
    '12:30:00',
    '\u0000',
    '\ud800',
    '\u2028',
    '../../x',
    '__proto__',
    '{{ .Name }}',
  ),
);
/** Text that a policy may hold. */
const written = text.filter(
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  (one) => one.isWellFormed() && !/[\u0000-\u0008\u000b-\u001f\u007f]|\$\{|\{\{|\ufffd/.test(one),
);
const template = fc
  .array(
    fc.oneof(
      written,
      fc.constantFrom(...TEMPLATE_VARIABLES).map((name) => `\${${name}}`),
    ),
    { maxLength: 4 },
  )
  .map((parts) => parts.join(''));
const count = fc.integer({ min: 0, max: 4 });
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });

/** Specs that are often accepted: each field is right more often than wrong. */
const spec = fc.record({
  match: fc.constant({ repositories: ['**'], tags: ['**'], branches: ['**'] }),
  target: fc.record({
    namespace: fc.constantFrom('vision', `\${repository.group}`, `n-\${environment}`),
    name: optional(fc.oneof(fc.constantFrom('iris', `\${repository.path}`, `\${revision}`), template)),
  }),
  environment: optional(fc.constantFrom('production', 'a.b_c')),
  description: optional(template),
  runtime: fc.constantFrom({ name: 'mlserver' }, { class: 'mlserver' }),
  gpu: optional(
    fc.constantFrom(
      { resources: { 'nvidia.com/gpu': 1 } },
      {
        resources: { 'nvidia.com/mig-1g.5gb': 1 },
        pod: { nodeSelector: { a: 'b' }, labels: { gpu: 'mig' }, tolerations: [{ operator: 'Exists' }] },
      },
      { resources: { 'huawei.com/Ascend910B3': 1, 'huawei.com/Ascend910B3-memory': 16384 } },
    ),
  ),
  resources: optional(
    fc.record({ limits: fc.constantFrom(null, { cpu: null }, { memory: '32Gi', 'example.com/fpga': 1 }) }),
  ),
  replicas: optional(fc.tuple(count, count).map(([min, more]) => ({ min, max: min + more }))),
  deploymentMode: optional(fc.constantFrom('auto', 'Knative')),
  rollout: optional(fc.constantFrom(null, null, { strategy: 'Recreate' })),
  modelFormat: optional(fc.constantFrom({ name: 'sklearn' }, { name: 'sklearn', version: '1' })),
  storage: fc.record({
    uri: fc.oneof(
      fc.constantFrom(`s3://m/\${repository.path}/\${sha}`, `hf://\${repository.group}/\${repository.name}`),
      fc.constantFrom(...TEMPLATE_VARIABLES).map((name) => `s3://m/\${${name}}`),
    ),
    ephemeralStorage: optional(fc.constantFrom(null, '20Gi')),
    pvc: optional(fc.constant('claim')),
  }),
  conventions: optional(fc.constantFrom('kserve', 'alauda')),
  labels: optional(
    fc.dictionary(
      fc.constantFrom('team', 'a.b/c'),
      fc.tuple(fc.constantFrom(...TEMPLATE_VARIABLES), written).map(([name, more]) => `\${${name}}${more}`),
    ),
  ),
  annotations: optional(fc.dictionary(fc.constantFrom('team', 'a.b/d'), template)),
  pod: optional(
    fc.record({
      serviceAccountName: fc.constantFrom('models', null),
      labels: fc.constantFrom(null, { team: 'vision' }, { team: 'vision' }, { team: 'not a label!' }),
      tolerations: fc.constantFrom([{ key: 'a' }], null),
      annotations: fc.dictionary(fc.constantFrom('x', 'y'), written),
    }),
  ),
  container: optional(fc.record({ args: fc.array(written, { maxLength: 3 }) })),
  delivery: fc.record({
    gitops: fc.constant('fleet'),
    path: optional(fc.constantFrom(...TEMPLATE_VARIABLES).map((name) => `m/\${${name}}.yaml`)),
  }),
});
const event = fc.record({
  repository: fc
    .oneof(fc.constantFrom('ml/vision/iris', 'Iris', 'a/1-model', 'ml/IRIS.v2/x_y'), text)
    // Anything else is refused when it arrives.
    .filter((path) => unsafeName('the repository', path) === null)
    .map((path) => `plain:${path}`),
  ref: fc
    .tuple(fc.constantFrom('refs/tags/', 'refs/heads/'), fc.oneof(fc.constant('v1.0.0'), text))
    .map((parts) => parts.join(''))
    .filter((ref) => unsafeRef(ref) === null),
  projectId: fc.option(fc.oneof(fc.constant('42'), written)),
  card: fc.record({
    library: fc.constantFrom('sklearn', 'scikit-learn', 'unknown', null),
    pipelineTag: fc.oneof(fc.constant('tabular-classification'), fc.constant(null), text),
  }),
});
/** What a runtime brings, which conventions: alauda copies. */
const runtime = fc.record({
  args: fc.array(text, { maxLength: 3 }),
  env: fc.array(fc.record({ name: fc.constantFrom('A', 'B'), value: text }), { maxLength: 2 }),
});
type Case = [object, Parameters<typeof inputOf>[1], { args: string[]; env: object[] }];

const inputOf = (
  texts: string[],
  {
    card,
    ...at
  }: { repository: string; ref: string; projectId: string | null; card: Parameters<typeof cardOf>[0] },
): Omit<PlanInput, 'policy'> => ({
  ...at,
  policies: loadGood(...texts),
  sha: 'a'.repeat(40),
  modelCard: cardOf(card),
});

/** Read as the controller reads it: a card may be refused. */
function cardOf({
  library,
  pipelineTag,
}: {
  library: string | null;
  pipelineTag: string | null;
}): ModelCardInput {
  const front = JSON.stringify({ library_name: library, pipeline_tag: pipelineTag });
  try {
    return { kind: 'card', card: parseModelCard(new TextEncoder().encode(`---\n${front}\n---\n`)) };
  } catch (error) {
    if (error instanceof StalledError) return { kind: 'unavailable', reason: error };
    throw error;
  }
}

const filesOf = ([policy, , container]: Case): string[] => [
  policyText(policy),
  runtimeText(
    'mlserver',
    { containers: [{ name: 'c', image: 'i', ...container }] },
    { labels: { 'cpaas.io/runtime-class': 'mlserver' } },
  ),
];

interface Made {
  plan: Plan;
  manifest: string;
  object: JsonObject;
}

/** @returns what a case makes; null where its policy is refused, or its rollout fails with what to do */
function make(files: string[], at: Case[1]): Made | null {
  if (load(...files).policies === null) return null;
  const input = inputOf(files, at);
  const [policy] = input.policies.policies;
  if (policy === undefined) throw new Error('the policy is missing');
  try {
    const plan = makePlan({ ...input, policy });
    return { plan, ...renderInferenceService(plan) };
  } catch (error) {
    if (!(error instanceof StalledError)) throw error;
    expect(error.reason).not.toBe('');
    expect(error.fix).not.toBe('');
    return null;
  }
}

/** Runs a check on everything that is rendered, and makes sure that it was not nothing. */
function checkAll(check: (made: Made, files: string[], at: Case[1]) => void, numRuns = 400): void {
  let rendered = 0;
  fc.assert(
    fc.property(fc.tuple(spec, event, runtime), (one) => {
      const files = filesOf(one);
      const made = make(files, one[1]);
      if (made === null) return;
      rendered++;
      check(made, files, one[1]);
    }),
    { numRuns },
  );
  expect(rendered).toBeGreaterThan(numRuns / 20);
}

describe('every policy that is accepted', () => {
  it('renders for any ref and any card, or fails with what to do', () => {
    checkAll(({ manifest }) => expect(manifest).not.toBe(''), 1500);
  });

  it('renders the same bytes again, whatever the order of its files', () => {
    checkAll(({ manifest }, files, at) => {
      expect(make(files, at)?.manifest).toBe(manifest);
      expect(make(files.toReversed(), at)?.manifest).toBe(manifest);
    });
  });

  it('renders YAML that every parser reads back as the same data', () => {
    checkAll(({ manifest, object }) => {
      expect(parse(manifest)).toEqual(object);
      expect(parse(manifest, { version: '1.1' })).toEqual(object);
      expect(parse(manifest, { version: '1.1', merge: true })).toEqual(object);
    });
  });

  it('renders what has the structure of an InferenceService', () => {
    checkAll(({ object }) => expect(checkStructure(ASSUMED_KSERVE.structure, object, [])).toEqual([]));
  });

  it('renders names that KServe takes, and hosts that fit', () => {
    checkAll(({ plan: { target, deploymentMode, path } }) => {
      expect(target.name).toMatch(KSERVE_NAME);
      expect(target.name.length).toBeLessThanOrEqual(40);
      if (deploymentMode === 'Standard')
        expect(target.name.length + target.namespace.length).toBeLessThanOrEqual(52);
      expect(unsafePath(path)).toBeNull();
    });
  });

  it('renders labels that Kubernetes takes, on the object and on its pods', () => {
    checkAll(({ object }) => {
      for (const path of [['metadata'], ['spec', 'predictor']]) {
        const labels = valueAt(object, [...path, 'labels']) ?? {};
        expect(Object.values(labels).filter((value) => !LABEL_VALUE.test(String(value)))).toEqual([]);
      }
    });
  });

  it('renders what it knows for its own again, in the other mode too', () => {
    checkAll(({ plan, manifest }) => {
      const { repository, target, revision } = plan;
      for (const mode of plan.modes) {
        const text = withMode(manifest, mode);
        expect(readManaged(text)).toMatchObject({
          managed: true,
          repository: repository.toWellFormed(),
          target: { namespace: target.namespace, name: target.name },
          revision: revision.toWellFormed(),
          deploymentMode: mode,
        });
        expect(withMode(text, plan.modes[0])).toBe(manifest);
      }
    });
  });

  it('renders no field that is null', () => {
    checkAll(({ object }) => expect(JSON.stringify(object)).not.toMatch(/:null[,}]/));
  });
});

it('any text that is altered to a name carries its hash, so that no two become one', () => {
  fc.assert(
    fc.property(text, text, fc.integer({ min: 12, max: 63 }), (one, other, limit) => {
      const name = kubernetesName(one, limit);
      if (name !== one) expect(name).toMatch(/-[0-9a-f]{8}$/);
      if (one !== other) expect(kubernetesName(other, limit)).not.toBe(name);
    }),
  );
});

it('any files at all are read, or have faults that name a place', () => {
  const file = fc.oneof(
    text,
    template,
    fc.json(),
    spec.map((one) => policyText(one)),
  );
  fc.assert(
    fc.property(fc.array(file, { maxLength: 3 }), (texts) => {
      const { policies, faults } = loadPolicies(
        texts.map((content, at) => ({ path: `${at}.yaml`, text: content })),
        'c0ffee',
      );
      expect(policies === null).toBe(faults.length > 0);
      expect(faults.filter(({ line, column, message }) => line < 1 || column < 1 || message === '')).toEqual(
        [],
      );
    }),
  );
});
