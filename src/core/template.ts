/** `${name}` in policy text: names and nothing else, no logic. */
import { StalledError } from './errors.ts';

/** Every name a template may use. */
export const TEMPLATE_VARIABLES = [
  'repository.name',
  'repository.path',
  'repository.group',
  'repository.subgroup',
  'tag',
  'branch',
  'sha',
  'shortSha',
  'revision',
  'environment',
  'target.cluster',
  'target.namespace',
  'target.name',
  'modelCard.library',
  'modelCard.pipelineTag',
] as const;

export type TemplateVariable = (typeof TEMPLATE_VARIABLES)[number];
/** What each name stands for; null, or left out: it has no value here. */
export type TemplateValues = Partial<Record<TemplateVariable, string | null>>;

const isVariable = (name: string): name is TemplateVariable =>
  (TEMPLATE_VARIABLES as readonly string[]).includes(name);

export type TemplatePart =
  | { kind: 'text'; text: string }
  | { kind: 'variable'; name: TemplateVariable }
  /** `ordinal`: which `${` of the template this is, from 0, so that it can be found in the file again. */
  | { kind: 'unknown'; name: string; ordinal: number }
  | { kind: 'unclosed'; ordinal: number };

/** @returns the parts in order; joined again they are the template */
export function parseTemplate(template: string): TemplatePart[] {
  const parts: TemplatePart[] = [];
  let position = 0;
  for (let ordinal = 0; ; ordinal++) {
    const open = template.indexOf('${', position);
    const text = open < 0 ? template.slice(position) : template.slice(position, open);
    if (text !== '') parts.push({ kind: 'text', text });
    if (open < 0) return parts;
    const close = template.indexOf('}', open);
    if (close < 0) return [...parts, { kind: 'unclosed', ordinal }];
    const name = template.slice(open + 2, close);
    parts.push(isVariable(name) ? { kind: 'variable', name } : { kind: 'unknown', name, ordinal });
    // A second `${` before the `}` belongs to the same mistake, and is counted with it.
    ordinal += name.split('${').length - 1;
    position = close + 1;
  }
}

/** @returns the names a template uses, each once */
export const variablesOf = (template: string): Set<TemplateVariable> =>
  new Set(parseTemplate(template).flatMap((part) => (part.kind === 'variable' ? [part.name] : [])));

/** What a fault says about one part; null where the part is fine. */
export function templateFault(part: TemplatePart): string | null {
  if (part.kind === 'unclosed') return `a template starts with \${ and has no }`;
  if (part.kind === 'unknown') return `unknown template variable \${${part.name}}`;
  return null;
}

/**
 * Fills a template. Values are text: nothing in them is looked at again.
 * @param field where the template stands, for the message
 * @param encode what is done to each value before it is put in
 * @throws StalledError where a variable has no value here
 */
export function fillTemplate(
  template: string,
  field: string,
  values: TemplateValues,
  encode: (value: string) => string = (value) => value,
): string {
  return parseTemplate(template)
    .map((part) => {
      if (part.kind === 'text') return part.text;
      const fault = templateFault(part);
      if (part.kind !== 'variable')
        throw new StalledError(`${field} "${template}": ${fault}`, 'correct the template in the policy');
      const value = values[part.name];
      if (value === null || value === undefined)
        throw new StalledError(
          `${field} is "${template}", and \${${part.name}} has no value here: ${ABSENT[part.name] ?? 'it is not known'}`,
          `use another variable in ${field}, or let the policy match only what has one`,
        );
      return encode(value.toWellFormed());
    })
    .join('');
}

/** Why a name may have no value. */
const ABSENT: Partial<Record<TemplateVariable, string>> = {
  tag: 'a branch was pushed, not a tag',
  branch: 'a tag was pushed, not a branch',
  'repository.group': 'the path of the repository has a single segment',
  'repository.subgroup': 'the path of the repository has nothing between its first and its last segment',
  'modelCard.library': 'the model card (README.md) has no library_name',
  'modelCard.pipelineTag': 'the model card (README.md) has no pipeline_tag',
};
