import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StalledError } from './errors.ts';
import { fillTemplate, parseTemplate, TEMPLATE_VARIABLES, variablesOf } from './template.ts';

describe('parseTemplate', () => {
  it('knows each variable, and leaves other dollars and braces alone', () => {
    expect(parseTemplate(`a\${tag}$b{c}`)).toEqual([
      { kind: 'text', text: 'a' },
      { kind: 'variable', name: 'tag' },
      { kind: 'text', text: '$b{c}' },
    ]);
  });

  it('says which one of several is unknown', () => {
    expect(parseTemplate(`\${tag}\${tga}`)[1]).toEqual({ kind: 'unknown', name: 'tga', ordinal: 1 });
  });

  it('finds one that is not closed', () => {
    expect(parseTemplate(`x\${tag`)).toEqual([
      { kind: 'text', text: 'x' },
      { kind: 'unclosed', ordinal: 0 },
    ]);
  });

  it('loses no text', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('$', '{', '}', 'a', `\${tag}`, `\${x}`)), (pieces) => {
        const template = pieces.join('');
        const parts = parseTemplate(template);
        const closed = parts.filter((part) => part.kind !== 'unclosed');
        const joined = closed.map((part) => (part.kind === 'text' ? part.text : `\${${part.name}}`)).join('');
        expect(template.startsWith(joined)).toBe(true);
        expect(template.slice(joined.length).startsWith('${')).toBe(parts.length > closed.length);
      }),
    );
  });
});

describe('fillTemplate', () => {
  const full = fc.record(Object.fromEntries(TEMPLATE_VARIABLES.map((name) => [name, fc.string()])));

  it('puts each value in its place', () => {
    const values = { 'repository.name': 'iris', tag: 'v1' };
    expect(fillTemplate(`s3://m/\${repository.name}/\${tag}`, 'uri', values)).toBe('s3://m/iris/v1');
  });

  it('never reads a value as a template', () => {
    fc.assert(
      fc.property(full, (values) => {
        const template = TEMPLATE_VARIABLES.map((name) => `\${${name}}`).join('|');
        const expected = TEMPLATE_VARIABLES.map((name) => values[name]).join('|');
        expect(fillTemplate(template, 'x', values)).toBe(expected);
      }),
    );
    expect(fillTemplate(`\${tag}`, 'x', { tag: `\${sha}`, sha: 'y' })).toBe(`\${sha}`);
  });

  it('says which variable of which field has no value, and why', () => {
    const fill = () => fillTemplate(`a-\${branch}`, 'spec.target.name', { branch: null });
    expect(fill).toThrow(StalledError);
    expect(fill).toThrow(/spec\.target\.name.*\$\{branch\}.*a tag was pushed.*use another variable/);
  });

  it('repairs half a character, which no YAML can hold', () => {
    expect(fillTemplate(`\${tag}`, 'x', { tag: 'a\ud800' })).toBe('a\ufffd');
  });
});

it('variablesOf names each variable once', () => {
  expect([...variablesOf(`\${tag}\${tag}\${sha}\${nope}`)]).toEqual(['tag', 'sha']);
});
