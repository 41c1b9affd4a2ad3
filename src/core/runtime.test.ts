import { describe, expect, it } from 'vitest';
import { StalledError } from './errors.ts';
import { loadGood, runtimeText } from './policy.fixture.ts';
import { chooseRuntime, type RuntimeRequest } from './runtime.ts';
import type { RuntimeCatalogue } from './runtime-catalogue.ts';

const formats = (...names: string[]): object => ({
  supportedModelFormats: names.map((name) => ({ name, version: '1', autoSelect: true, priority: 1 })),
});
const ofClass = (name: string): object => ({ labels: { 'cpaas.io/runtime-class': name } });
const catalogue = (...texts: string[]): RuntimeCatalogue => ({
  source: 'the runtime catalogue',
  runtimes: loadGood(...texts).runtimes,
});

const choose = (request: Partial<RuntimeRequest>, from: RuntimeCatalogue | null) =>
  chooseRuntime(
    {
      name: null,
      class: null,
      protocolVersion: 'v2',
      namespace: 'vision',
      modelFormat: null,
      library: () => 'sklearn',
      multiNode: false,
      ...request,
    },
    from,
  );

/** @returns the message of the StalledError that choosing throws */
function refusal(request: Partial<RuntimeRequest>, from: RuntimeCatalogue | null): string {
  try {
    choose(request, from);
  } catch (error) {
    expect(error).toBeInstanceOf(StalledError);
    return String(error);
  }
  throw new Error('nothing was refused');
}

describe('by name', () => {
  const from = catalogue(
    runtimeText('mlserver', { ...formats('sklearn', 'xgboost'), protocolVersions: ['v2'] }, ofClass('ml')),
    runtimeText('off', { ...formats('sklearn'), disabled: true }),
    runtimeText('elsewhere', formats('sklearn'), { namespace: 'other' }),
  );

  it('takes the runtime that is named', () => {
    const chosen = choose({ name: 'mlserver' }, from);
    expect([chosen.name, chosen.modelFormat]).toEqual(['mlserver', { name: 'sklearn', version: null }]);
    expect(chosen.decisions[0]).toBe('runtime mlserver, named by the policy, from the runtime catalogue');
  });

  it('needs no autoSelect', () => {
    const manual = runtimeText('manual', { supportedModelFormats: [{ name: 'sklearn' }] });
    expect(choose({ name: 'manual' }, catalogue(manual)).name).toBe('manual');
  });

  it('prefers one of the namespace to one of the cluster', () => {
    const both = catalogue(
      runtimeText('r', formats('sklearn')),
      runtimeText('r', formats('sklearn'), { namespace: 'vision' }),
    );
    expect(choose({ name: 'r' }, both).decisions[0]).toContain('namespace vision');
  });

  it('says what exists where the name does not', () => {
    expect(refusal({ name: 'mlservr' }, from)).toMatch(
      /no runtime "mlservr".*did you mean "mlserver".*mlserver, off/,
    );
    expect(refusal({ name: 'elsewhere' }, from)).toContain(
      'no runtime "elsewhere" that namespace vision can use',
    );
  });

  it('says why the runtime does not fit', () => {
    expect(refusal({ name: 'off' }, from)).toContain('it is disabled');
    expect(refusal({ name: 'mlserver', library: () => 'pytorch' }, from)).toContain(
      'it supports sklearn 1, xgboost 1',
    );
    expect(refusal({ name: 'mlserver', protocolVersion: 'v1' }, from)).toContain('it speaks v2, not v1');
    expect(refusal({ name: 'mlserver', modelFormat: { name: 'sklearn', version: '0' } }, from)).toContain(
      'sklearn 0',
    );
  });

  it('must agree with the class', () => {
    expect(choose({ name: 'mlserver', class: 'ml' }, from).name).toBe('mlserver');
    expect(refusal({ name: 'mlserver', class: 'triton' }, from)).toMatch(
      /of class ml, .* asks for class triton/,
    );
  });

  it('is taken at its word, with a warning, where nothing can be looked up', () => {
    const chosen = choose({ name: 'mlserver', library: () => 'scikit-learn' }, null);
    expect([chosen.name, chosen.modelFormat.name]).toEqual(['mlserver', 'sklearn']);
    expect(chosen.warnings).toEqual([expect.stringContaining('was not checked')]);
    expect(refusal({ class: 'ml' }, null)).toContain('set spec.runtime.name');
  });
});

describe('by class', () => {
  it('takes the first by name that fits', () => {
    const from = catalogue(
      runtimeText('c', formats('sklearn'), ofClass('ml')),
      runtimeText('b', formats('sklearn'), ofClass('ml')),
      runtimeText('a', formats('pytorch'), ofClass('ml')),
    );
    expect(choose({ class: 'ml' }, from).name).toBe('b');
  });

  it('says which classes there are', () => {
    const from = catalogue(runtimeText('a', formats('sklearn'), ofClass('ml')));
    expect(refusal({ class: 'mll' }, from)).toMatch(/class "mll".*one of ml/);
  });
});

describe('as KServe would choose', () => {
  it('takes the highest priority among those that select themselves', () => {
    const at = (priority: number, autoSelect = true): object => ({
      supportedModelFormats: [{ name: 'sklearn', autoSelect, priority }],
    });
    const from = catalogue(runtimeText('a', at(1)), runtimeText('b', at(2)), runtimeText('c', at(3, false)));
    expect(choose({}, from).name).toBe('b');
  });

  it('passes over runtimes for several nodes or several models', () => {
    const from = catalogue(
      runtimeText('a', { ...formats('sklearn'), workerSpec: {} }),
      runtimeText('b', { ...formats('sklearn'), multiModel: true }),
      runtimeText('c', formats('sklearn')),
    );
    expect(choose({}, from).name).toBe('c');
    expect(choose({ multiNode: true }, from).name).toBe('a');
  });

  it('says of each runtime why it does not fit', () => {
    const from = catalogue(
      runtimeText('a', formats('onnx')),
      runtimeText('b', { ...formats('sklearn'), protocolVersions: ['v1'] }),
    );
    expect(refusal({}, from)).toMatch(/\(a: it supports onnx 1, b: it speaks v1, not v2\)/);
  });
});

describe('the model format', () => {
  it.each([
    ['transformers', ['huggingface', 'vLLM'], 'huggingface'],
    ['transformers', ['vLLM'], 'vLLM'],
    ['transformers', ['transformers', 'huggingface'], 'transformers'],
    ['scikit-learn', ['sklearn'], 'sklearn'],
    ['keras', ['tensorflow'], 'tensorflow'],
    ['tf-keras', ['tensorflow'], 'tensorflow'],
    ['torch', ['pytorch'], 'pytorch'],
    ['paddlenlp', ['paddle'], 'paddle'],
    ['paddlepaddle', ['paddle'], 'paddle'],
    ['onnxruntime', ['onnx'], 'onnx'],
  ])('of library %s where a runtime supports %j is %s', (library, supported, expected) => {
    const chosen = choose(
      { name: 'r', library: () => library },
      catalogue(runtimeText('r', formats(...supported))),
    );
    expect(chosen.modelFormat.name).toBe(expected);
  });

  it('is the policy’s where it names one, and the card is not asked', () => {
    const library = (): string => {
      throw new Error('asked');
    };
    const request = { name: 'r', modelFormat: { name: 'sklearn', version: '1' }, library };
    expect(choose(request, catalogue(runtimeText('r'))).modelFormat).toEqual({
      name: 'sklearn',
      version: '1',
    });
  });
});
