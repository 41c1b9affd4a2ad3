import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StalledError } from './errors.ts';
import { parseModelCard } from './model-card.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (text: string) => parseModelCard(bytes(text));
const FRONT =
  'library_name: sklearn # not torch\npipeline_tag: "tabular-classification"\ntags:\n- iris\n- small';

describe('parseModelCard', () => {
  it('reads the front matter', () => {
    expect(parse(`---\n${FRONT}\nlicense: mit\nbase_model: a/b\n---\n# Iris`)).toEqual({
      library: 'sklearn',
      pipelineTag: 'tabular-classification',
      license: 'mit',
      tags: ['iris', 'small'],
      baseModel: ['a/b'],
    });
  });

  it('reads what real cards have beside it', () => {
    const card = parse(`---
# A comment, and an empty line

language:
  - en
  - no
license: [apache-2.0, mit]
base_model: &base
  - meta/llama
datasets: *base
description: >-
  Several lines: with a colon,
  and "quotes"
widget:
  - text: |
      ---
      library_name: not this one
model-index:
  - results: [{ metrics: [{ type: accuracy, value: 0.925, verified: yes }] }]
library_name: on
pipeline_tag: text-generation
---

# Llama

---
library_name: nor this one
`);
    expect(card).toEqual({
      library: 'on',
      pipelineTag: 'text-generation',
      license: 'apache-2.0, mit',
      tags: [],
      baseModel: ['meta/llama'],
    });
  });

  it('reads it with a byte order mark, Windows line ends and empty lines before it', () => {
    const card = parse(`\ufeff\n---\n${FRONT}\n---\n`.replaceAll('\n', '\r\n'));
    expect(card.library).toBe('sklearn');
  });

  it('ends it at the first line of three dashes, not at those inside a text', () => {
    const card = parse('---\nx: a --- b\ny: |\n  ---\nlibrary_name: keras\n---\nlibrary_name: torch\n---\n');
    expect(card.library).toBe('keras');
  });

  it('takes lines of the text where there is no front matter', () => {
    const card = parse("# Iris\n\nlibrary_name: 'sklearn'\npipeline_tag: tabular-classification\n");
    expect([card.library, card.pipelineTag]).toEqual(['sklearn', 'tabular-classification']);
  });

  it('takes no lines of the text where there is front matter', () => {
    expect(parse('---\nlicense: mit\n---\nlibrary_name: sklearn\n').library).toBeNull();
  });

  it('reads a rule at the top that nothing closes as text', () => {
    expect(parse('---\n\nlibrary_name: sklearn\n').library).toBe('sklearn');
  });

  it('leaves out what is missing or empty', () => {
    expect(parse('---\nlibrary_name:\npipeline_tag: ""\n---\n')).toMatchObject({
      library: null,
      pipelineTag: null,
    });
    expect(parse('')).toMatchObject({ library: null, tags: [] });
  });

  it.each([
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n',
      /Git LFS pointer/,
    ],
    ['bad YAML', '---\na: [1\n---\n', /unreadable: README\.md:\d+:\d+: not valid YAML/],
    ['a list', '---\n[]\n---\n', /not a map/],
    ['an unfilled template', '---\n{{card_data}}\n---\n', /unreadable/],
    [
      'the same key twice',
      '---\nlibrary_name: a\nlibrary_name: b\n---\n',
      /README\.md:3:1: the key "library_name"/,
    ],
    ['a library that is a list', '---\nlibrary_name: [a]\n---\n', /library_name .* is not text/],
    ['a YAML bomb', `---\na: &a [x]\n${'b: [*a,*a]\n'.repeat(1)}c: [${'*a,'.repeat(200)}]\n---\n`, /aliases/],
    ['deep nesting', `---\n${'['.repeat(10_000)}\n---\n`, /unreadable/],
    ['over 1 MiB', 'x'.repeat(1024 * 1024 + 1), /larger than 1 MiB/],
  ])('refuses %s, in words that help', (_name, text, message) => {
    expect(() => parse(text)).toThrow(StalledError);
    expect(() => parse(text)).toThrow(message);
  });

  it('refuses what is not UTF-8', () => {
    expect(() => parseModelCard(new Uint8Array([0x2d, 0xff, 0xfe]))).toThrow(/not UTF-8/);
  });

  it('reads any bytes, or says what is wrong with them', () => {
    const piece = fc.constantFrom(
      '---\n',
      'library_name: ',
      'a',
      '\n',
      '&a ',
      '*a',
      '[',
      '{',
      '"',
      '- ',
      '\t',
      '\r',
      ': ',
    );
    const texts = fc.oneof(
      fc.array(piece).map((pieces) => bytes(pieces.join(''))),
      fc.uint8Array(),
    );
    fc.assert(
      fc.property(texts, (card) => {
        try {
          parseModelCard(card);
        } catch (error) {
          expect(error).toBeInstanceOf(StalledError);
        }
      }),
    );
  });
});
