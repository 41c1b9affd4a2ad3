/** Which serving runtime serves a model, and under which name of its format. */
import { StalledError } from './errors.ts';
import { listNames, suggestion } from './nearest.ts';
import { formatText, listFormats, type RuntimeCatalogue, type ServingRuntime } from './runtime-catalogue.ts';

/** What the policy and the model ask of a runtime. */
export interface RuntimeRequest {
  name: string | null;
  class: string | null;
  protocolVersion: string;
  namespace: string;
  /** The policy's, exact; null: from the library */
  modelFormat: { name: string; version: string | null } | null;
  /** `library_name` of the model card; asked for only where the policy names no format */
  library: () => string;
  /** Whether the predictor has a workerSpec: KServe picks runtimes over several nodes for those alone. */
  multiNode: boolean;
}

export interface ChosenRuntime {
  name: string;
  /** null: nothing could be looked up, and the name was taken at its word */
  definition: ServingRuntime | null;
  modelFormat: { name: string; version: string | null };
  decisions: string[];
  warnings: string[];
}

/** Library names of Hugging Face to formats of KServe. The library's own name always goes first. */
const FORMATS: ReadonlyMap<string, readonly string[]> = new Map([
  ['transformers', ['huggingface', 'vLLM']],
  ['scikit-learn', ['sklearn']],
  ['keras', ['tensorflow']],
  ['tf-keras', ['tensorflow']],
  ['torch', ['pytorch']],
  ['paddlenlp', ['paddle']],
  ['paddlepaddle', ['paddle']],
  ['onnxruntime', ['onnx']],
]);

type Format = { name: string; version: string | null };

/**
 * Chooses the runtime: by name, else by class, else as KServe itself would (kserve predictor_model.go). A runtime of
 * the namespace goes before one of the cluster.
 * @param catalogue null: nothing can be looked up, and a runtime that is named is taken at its word
 * @throws StalledError where none fits, with what would
 */
export function chooseRuntime(request: RuntimeRequest, catalogue: RuntimeCatalogue | null): ChosenRuntime {
  const formats = wantedFormats(request);
  if (catalogue === null) return takeAtItsWord(request, formats);
  const visible = visibleFrom(request.namespace, catalogue);
  const candidates = narrow(request, visible, catalogue.source);
  for (const format of formats) {
    const [best] = candidates
      .filter((runtime) => misfit(runtime, format, request) === null)
      .sort((left, right) => precedence(left, right, format, request));
    if (best !== undefined) return describeChoice(best, format, request, catalogue.source);
  }
  throw noneFits(request, formats, candidates, catalogue.source);
}

function wantedFormats(request: RuntimeRequest): [Format, ...Format[]] {
  if (request.modelFormat !== null) return [request.modelFormat];
  const library = request.library();
  const mapped = (FORMATS.get(library) ?? []).map((name) => ({ name, version: null }));
  return [{ name: library, version: null }, ...mapped];
}

function takeAtItsWord(request: RuntimeRequest, formats: [Format, ...Format[]]): ChosenRuntime {
  if (request.name === null)
    throw new StalledError(
      'no runtime can be chosen: there is neither a cluster to read nor a runtime catalogue',
      'set spec.runtime.name in the policy, or add ServingRuntimes to the policy directory',
    );
  const modelFormat = request.modelFormat ?? formats[1] ?? formats[0];
  return {
    name: request.name,
    definition: null,
    modelFormat,
    decisions: [
      `runtime ${request.name}, named by the policy`,
      `model format ${formatText(modelFormat)}, ${formatOrigin(request, modelFormat)}`,
    ],
    warnings: [
      `runtime ${request.name} was not checked: there is neither a cluster to read nor a runtime catalogue`,
    ],
  };
}

/** What a namespace can use. A runtime of the namespace hides one of the cluster with its name. */
function visibleFrom(namespace: string, catalogue: RuntimeCatalogue): ServingRuntime[] {
  const own = catalogue.runtimes.filter((runtime) => runtime.namespace === namespace);
  const hidden = new Set(own.map(({ name }) => name));
  return [
    ...own,
    ...catalogue.runtimes.filter(({ namespace: of, name }) => of === null && !hidden.has(name)),
  ];
}

/** The runtimes that the policy's name and class leave. */
function narrow(
  request: RuntimeRequest,
  visible: readonly ServingRuntime[],
  source: string,
): ServingRuntime[] {
  const { name, class: wanted } = request;
  if (name !== null) {
    const named = visible.find((runtime) => runtime.name === name);
    if (named === undefined) {
      const names = visible.map((runtime) => runtime.name);
      const hint = names.length > 0 ? `it has ${listNames(names)}` : 'it has none for this namespace';
      throw new StalledError(
        `${source} has no runtime "${name}" that namespace ${request.namespace} can use${suggestion(name, names).replace('?', '')}`,
        `set spec.runtime.name to one that exists (${hint})`,
      );
    }
    if (wanted !== null && named.class !== wanted)
      throw new StalledError(
        `runtime "${name}" is of class ${named.class ?? '(none)'}, and the policy asks for class ${wanted}`,
        'let spec.runtime.name and spec.runtime.class agree, or keep one of them',
      );
    return [named];
  }
  if (wanted === null) return [...visible];
  const ofClass = visible.filter((runtime) => runtime.class === wanted);
  if (ofClass.length > 0) return ofClass;
  const classes = [...new Set(visible.flatMap((runtime) => runtime.class ?? []))].sort();
  throw new StalledError(
    `${source} has no runtime of class "${wanted}" (label cpaas.io/runtime-class) that namespace ${request.namespace} can use`,
    classes.length > 0
      ? `set spec.runtime.class to one of ${listNames(classes)}`
      : 'label a runtime with cpaas.io/runtime-class, or set spec.runtime.name',
  );
}

const isAutomatic = (request: RuntimeRequest): boolean => request.name === null && request.class === null;

/** @returns why a runtime cannot serve a format, as a clause; null where it can */
function misfit(runtime: ServingRuntime, format: Format, request: RuntimeRequest): string | null {
  if (runtime.disabled) return 'it is disabled';
  const automatic = isAutomatic(request);
  const ofName = runtime.formats.filter(
    ({ name, version }) => name === format.name && (format.version === null || version === format.version),
  );
  if (ofName.length === 0) return `it supports ${listFormats(runtime)}`;
  if (automatic && !ofName.some(({ autoSelect }) => autoSelect))
    return 'it is chosen by name only (no autoSelect)';
  if (automatic && (runtime.multiModel || runtime.multiNode !== request.multiNode))
    return runtime.multiModel ? 'it serves several models' : 'it is for a different number of nodes';
  // Without a list KServe lets a runtime speak everything.
  if (runtime.protocolVersions.length > 0 && !runtime.protocolVersions.includes(request.protocolVersion))
    return `it speaks ${runtime.protocolVersions.join(', ')}, not ${request.protocolVersion}`;
  return null;
}

/** Namespace first; then, where KServe would choose, its priority; then by name. */
function precedence(
  left: ServingRuntime,
  right: ServingRuntime,
  format: Format,
  request: RuntimeRequest,
): number {
  const byNamespace = Number(left.namespace === null) - Number(right.namespace === null);
  const byPriority = isAutomatic(request) ? priority(right, format) - priority(left, format) : 0;
  return byNamespace || byPriority || (left.name < right.name ? -1 : 1);
}

const priority = (runtime: ServingRuntime, format: Format): number =>
  Math.max(
    0,
    ...runtime.formats
      .filter((one) => one.autoSelect && one.name === format.name)
      .filter((one) => format.version === null || one.version === format.version)
      .map((one) => one.priority),
  );

function formatOrigin(request: RuntimeRequest, format: Format): string {
  if (request.modelFormat !== null) return 'from the policy';
  const library = request.library();
  return library === format.name
    ? 'from library_name of the model card'
    : `for library_name ${library} of the model card`;
}

function describeChoice(
  runtime: ServingRuntime,
  format: Format,
  request: RuntimeRequest,
  source: string,
): ChosenRuntime {
  const why =
    request.name !== null
      ? 'named by the policy'
      : request.class !== null
        ? `by class ${request.class}`
        : `as KServe would choose it for ${formatText(format)} and ${request.protocolVersion}`;
  const where = runtime.namespace === null ? source : `${source}, namespace ${runtime.namespace}`;
  return {
    name: runtime.name,
    definition: runtime,
    modelFormat: format,
    decisions: [
      `runtime ${runtime.name}, ${why}, from ${where}`,
      `model format ${formatText(format)}, ${formatOrigin(request, format)}`,
    ],
    warnings: [],
  };
}

function noneFits(
  request: RuntimeRequest,
  formats: readonly Format[],
  candidates: readonly ServingRuntime[],
  source: string,
): StalledError {
  const wanted = `model format ${formats.map(formatText).join(' or ')} with protocol ${request.protocolVersion}`;
  // The last format is the one of KServe: what a runtime lacks for it says more than the library's own name.
  const reasons = candidates.map((runtime) => {
    const clauses = formats.map((format) => misfit(runtime, format, request));
    return `${runtime.name}: ${clauses.find((clause) => clause !== null && !clause.startsWith('it supports')) ?? clauses.at(-1)}`;
  });
  const [only] = candidates;
  if (!isAutomatic(request) && candidates.length === 1 && only !== undefined)
    return new StalledError(
      `runtime "${only.name}" cannot serve ${wanted}: ${reasons[0]?.slice(only.name.length + 2)}`,
      'set spec.runtime, spec.modelFormat or spec.protocolVersion in the policy to what fits',
    );
  const whose = request.class === null ? source : `class "${request.class}"`;
  const known = new Set(
    candidates.flatMap((runtime) => (runtime.disabled ? [] : runtime.formats.map((one) => one.name))),
  );
  if (!formats.some(({ name }) => known.has(name)) && known.size > 0)
    return new StalledError(
      `no runtime of ${whose} serves ${wanted}${suggestion(formats[0]?.name ?? '', known).replace('?', '')}; there is ${listNames([...known].sort())}`,
      'set spec.modelFormat in the policy to what a runtime supports, or add a runtime',
    );
  return new StalledError(
    `no runtime of ${whose} serves ${wanted} (${listNames(reasons) || 'there is none'})`,
    'set spec.modelFormat or spec.protocolVersion to what a runtime supports, or name another runtime in spec.runtime',
  );
}
