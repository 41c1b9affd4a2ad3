/** Rules for the text of a policy: patterns, templates, and what may not stand in fields that are merged as given. */
import { isJsonObject, type Json, type JsonObject } from './json.ts';
import { suggestion } from './nearest.ts';
import type { Policy } from './policy.ts';
import type { Report } from './schema-faults.ts';
import {
  parseTemplate,
  TEMPLATE_VARIABLES,
  type TemplatePart,
  templateFault,
  variablesOf,
} from './template.ts';
import { MAX_FAULTS, type Path } from './yaml-source.ts';

/** Lists are compared with those of all other policies. Names without a wildcard cost next to nothing. */
const MAX_PATTERNS = 100;
const MAX_NAMES = 2000;

/** Checks `spec.match`. */
export function checkMatch({ match }: Policy, report: Report): void {
  if (match.tags.include.length + match.branches.include.length === 0)
    report(
      ['spec', 'match'],
      'name what to deploy in tags, in branches, or in both; exclusions alone match nothing',
    );
  if (match.repositories.include.length === 0)
    report(['spec', 'match', 'repositories'], 'exclusions alone match nothing; name at least one repository');
  for (const [field, { patterns }] of Object.entries(match)) {
    const wild = patterns.filter((pattern) => pattern.includes('*')).length;
    if (wild > MAX_PATTERNS || patterns.length > MAX_NAMES)
      report(
        ['spec', 'match', field],
        `at most ${MAX_PATTERNS} patterns with * and ${MAX_NAMES} in all, got ${wild} and ${patterns.length}; write several policies`,
      );
    for (const [at, pattern] of patterns.entries()) {
      const fault = patternFault(field, pattern.replace(/^!/, ''));
      if (fault !== null) report(['spec', 'match', field, at], fault);
    }
  }
}

function patternFault(field: string, pattern: string): string | null {
  if (pattern === '') return 'there is no pattern after "!"';
  if (/[?[\]]/.test(pattern)) return 'only * (within a segment) and ** (across) are wildcards';
  if (pattern.includes('***')) return 'there is no wildcard of three *; write * or **';
  if (field === 'repositories')
    return /^[^/]*[:*]/.test(pattern)
      ? null
      : 'a repository is written <forge name>:<path>, such as gitlab:ml/vision/iris';
  const prefix = field === 'tags' ? 'refs/tags/' : 'refs/heads/';
  return pattern.startsWith('refs/') ? `write the short name, without ${prefix}` : null;
}

/** What a template may not name: itself, and what is decided after it. */
const LATER: Record<string, readonly string[]> = {
  'target.namespace': ['target.namespace', 'target.name'],
  'target.name': ['target.name'],
};

/**
 * Checks everything that is filled in.
 * @returns whether all of it can be
 */
export function checkTemplates(policy: Policy, report: Report): boolean {
  const places: [Path, string][] = [
    [['target', 'namespace'], policy.target.namespace],
    [['target', 'name'], policy.target.name],
    [['description'], policy.description],
    [['storage', 'uri'], policy.storage.uri],
    [['delivery', 'path'], policy.delivery.path],
    ...Object.entries(policy.labels).map(([key, text]): [Path, string] => [['labels', key], text]),
    ...Object.entries(policy.annotations).map(([key, text]): [Path, string] => [['annotations', key], text]),
  ];
  let faults = 0;
  for (const [path, template] of places) {
    const later = LATER[path.join('.')] ?? [];
    for (const part of parseTemplate(template)) {
      // More than that nobody reads, and looking for names that are near takes time.
      if (faults > MAX_FAULTS) return false;
      const fault = partFault(part, later);
      if (fault === null) continue;
      faults++;
      report(
        ['spec', ...path],
        fault,
        'ordinal' in part ? { needle: '${', ordinal: part.ordinal } : undefined,
      );
    }
  }
  return faults === 0;
}

function partFault(part: TemplatePart, later: readonly string[]): string | null {
  if (part.kind === 'variable')
    return later.includes(part.name)
      ? `\${${part.name}} is not decided yet here; use another variable`
      : null;
  const fault = templateFault(part);
  if (fault === null) return null;
  const hint = part.kind === 'unknown' ? suggestion(part.name, TEMPLATE_VARIABLES) : '';
  return `${fault}${hint || `; known are ${TEMPLATE_VARIABLES.join(', ')}`}`;
}

/** Warns of template variables in what is merged as it is. */
export function warnOfVariables(part: JsonObject, path: Path, warn: Report): void {
  eachText(part, path, (at, text) => {
    for (const name of variablesOf(text))
      warn(at, `\${${name}} stays as it is: nothing is filled in here, where the text may be a shell's`);
  });
}

/** What KServe may fill in: it runs Go templates over containers (ReplacePlaceholders in its controller). */
const PLACEHOLDER = /^\{\{\s*\.(?:Name|Namespace|Labels\.[A-Za-z_]\w*|Annotations\.[A-Za-z_]\w*)\s*\}\}/;

/** Checks every text and key below a path for what belongs to KServe or to modelhook. */
export function checkReserved(value: Json, path: Path, report: Report): void {
  const checkKey = (at: Path, key: string): void => {
    if (key.startsWith('modelhook.dev/'))
      report(at, 'keys of modelhook.dev/ belong to modelhook; choose another');
    if (key.includes('{{')) report(at, 'KServe would run this {{ as a Go template; choose another key');
  };
  const checkOne = (at: Path, text: string): void => {
    let ordinal = 0;
    for (let open = text.indexOf('{{'); open >= 0; open = text.indexOf('{{', open + 2), ordinal++)
      if (!PLACEHOLDER.test(text.slice(open)))
        report(
          at,
          'KServe would run this {{ as a Go template; ' +
            'only {{.Name}}, {{.Namespace}}, {{.Labels.x}} and {{.Annotations.x}} are allowed',
          { needle: '{{', ordinal },
        );
  };
  eachText(value, path, checkOne, checkKey);
}

function eachText(
  value: Json,
  path: Path,
  visitText: (path: Path, text: string) => void,
  visitKey: (path: Path, key: string) => void = () => {},
): void {
  if (typeof value === 'string') visitText(path, value);
  else if (Array.isArray(value))
    for (const [at, item] of value.entries()) eachText(item, [...path, at], visitText, visitKey);
  else if (isJsonObject(value))
    for (const [key, item] of Object.entries(value)) {
      visitKey([...path, key], key);
      eachText(item, [...path, key], visitText, visitKey);
    }
}
