/**
 * Deliveries that are not as forges make them: what fast-check draws is a short plan, which a failure prints whole; the
 * bytes are made from it when it is sent.
 */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { DELIVERIES, type Delivery, type Json, type Kind, PATH } from './webhook-bodies.ts';
import { eventHeaders, SIGNATURES, type Signature, signatureHeaders } from './webhook-signing.ts';

/** Text of JSON, which need not be right: the unit is repeated in the middle. */
type Odd = readonly [begin: string, unit: string, times: number, end: string];

interface Edit {
  /** A path such as `repository.id`, or the number of one; a path that is not there is left alone. */
  at: string | number;
  change: 'replace' | 'remove' | 'duplicate' | 'rename' | 'wrap';
  odd: Odd;
}

export interface Mutation {
  /** The delivery it was made of, as `<kind>: <what>`. */
  of: string;
  /** For Gitea: sent as Forgejo sends it. For GitLab: with the secret token instead of a signature. */
  twin: boolean;
  edits: Edit[];
  shape: Shape;
  /** The value of Content-Type; null: none */
  type: string | null;
  headers: { name: string; value: string | string[] | null }[];
  /** What follows /webhooks/ instead of the forge's name; null: the name */
  path: string | null;
  signature: Signature;
}

/** A delivery as it goes over the wire, and what may be answered. */
export interface Attempt {
  /** The forge's name in modelhook.yaml. */
  forge: string;
  path: string;
  headers: Record<string, string | string[]>;
  body: Buffer;
  /** The statuses of specification section 7 that are right for it. */
  expected: readonly number[];
  isSigned: boolean;
}

/** Stands in the name of every repository that a delivery without a right signature is about. */
export const UNSIGNED = 'nobody-signed-this';

const keyOf = ({ kind, what }: Delivery): string => `${kind}: ${what}`;
const BY_KEY = new Map(DELIVERIES.map((each) => [keyOf(each), each]));
/** What is read of them: half of all edits are there. */
const USED = [
  'ref',
  'before',
  'after',
  'deleted',
  'repository',
  'repository.id',
  'repository.full_name',
  'head_commit',
  'head_commit.id',
  'project',
  'project_id',
  'project.path_with_namespace',
  'checkout_sha',
  'object_kind',
  'event_name',
  'ref_type',
  'action',
  'pull_request',
  'pull_request.number',
  'object_attributes',
  'object_attributes.action',
  'path_with_namespace',
];
const TEXTS = [
  'refs/tags/v2.0.0',
  'refs/tags/v1/../../x',
  'refs/tags/-x',
  'refs/tags/v1^{tree}',
  'refs/tags/v1.lock',
  'refs/tags/',
  'refs/heads/main~1:README.md',
  'refs/pull/12/head',
  `refs/tags/${'v'.repeat(1100)}`,
  'refs/tags/\u202egnp.v1',
  'refs/tags/v1\u0000',
  'refs/tags/v1\n2',
  'refs/tags/été-模型-🚀',
  '../../etc/passwd',
  '/etc/passwd',
  'ml//iris',
  '-ml/iris',
  'iris',
  'gitlab:ml/iris',
  'ml/iris.git.git',
  'ml/\u202esiri',
  'ml/%2e%2e/x',
  '0'.repeat(40),
  '0'.repeat(64),
  'd4'.repeat(20),
  'e5'.repeat(32),
  'D4'.repeat(20),
  'd4'.repeat(19),
  'push',
  'tag_push',
  '__proto__',
  'constructor',
  '',
];
const RAW = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '-1',
  '1.5',
  '1e400',
  '9007199254740993',
  '123456789012345678901234567890',
  '1e-7',
  'NaN',
  'undefined',
  '[]',
  '{}',
  '[null]',
  '{"__proto__":{"admin":true}}',
  '{"constructor":{"prototype":{"x":1}}}',
  '{"toString":1,"valueOf":null}',
  '{"id":1,"full_name":"ml/iris","path_with_namespace":"ml/iris"}',
  String.raw`"\ud800"`,
  String.raw`"refs/tags/\udfff"`,
  String.raw`"ml/\u0000iris"`,
  String.raw`"\q"`,
  '"\u0001\u0007"',
  "'single'",
];

const odd: fc.Arbitrary<Odd> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...RAW).map((text): Odd => [text, '', 0, '']) },
  { weight: 6, arbitrary: fc.constantFrom(...TEXTS).map((text): Odd => [JSON.stringify(text), '', 0, '']) },
  {
    weight: 3,
    arbitrary: fc.string({ unit: 'binary' }).map((text): Odd => [JSON.stringify(text), '', 0, '']),
  },
  { weight: 2, arbitrary: fc.jsonValue().map((value): Odd => [JSON.stringify(value), '', 0, '']) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom('"', '"refs/tags/', '"ml/'),
        fc.constantFrom('x', 'a/', '模', '\\u0000', '..'),
        fc.constantFrom(300, 5000, 1 << 18),
      )
      .map(([begin, unit, times]): Odd => [begin, unit, times, '"']),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Odd>(
      ['[0', ',0', 200_000, ']'],
      ['', '[', 100_000, ''],
      ['{', '"a":0,', 50_000, '"b":1}'],
      [`${'{"a":'.repeat(2000)}0`, '}', 2000, ''],
      ['"', 'x', 1 << 20, '"'],
    ),
  },
);

const SHAPES = [
  'json',
  'empty',
  'bom',
  'utf-16',
  'latin-1',
  'truncated',
  'cut in a character',
  'nul',
  'twice',
  'spaces',
  'form',
  'html',
  'gzip',
  'deep',
  'odd',
] as const;
type Shape = { kind: (typeof SHAPES)[number]; odd: Odd; at: number };
const ODD_HEADERS = [
  'x-github-event',
  'x-github-delivery',
  'x-gitea-event',
  'x-gitea-delivery',
  'x-forgejo-event',
  'x-gogs-event',
  'x-gitlab-event',
  'x-gitlab-event-uuid',
  'idempotency-key',
  'x-modelhook-delivery',
  'content-encoding',
  'x-forwarded-for',
  '__proto__',
];
const JSON_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'APPLICATION/JSON',
  'application/hal+json',
];
const OTHER_TYPES = [
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'json',
  '',
];
const PATHS = [
  'nobody',
  '__proto__',
  'constructor',
  'toString',
  'GitHub',
  '%00',
  '%E0%A4%A',
  '..%2fgithub',
  '',
  'github/x',
  '🚀',
];

const latin1 = fc
  .array(fc.constantFrom(...'aZ09 ~é\u00ff\t,;"\u00a0'), { maxLength: 200 })
  .map((characters) => characters.join('').trim());
const headerValue: fc.Arbitrary<string | string[] | null> = fc.oneof(
  fc.constant(null),
  latin1,
  fc.constantFrom('push', 'delete', 'ping', 'x'.repeat(4000), 'gzip', '', ' '),
  fc.constantFrom<string[]>(['push', 'ping'], ['1', '2']),
);
const rarely = <Value>(usual: Value, other: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 15, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.oneof(fc.constantFrom(...USED), fc.nat(120)),
  change: fc.constantFrom<Edit['change']>(
    'replace',
    'replace',
    'replace',
    'remove',
    'duplicate',
    'rename',
    'wrap',
  ),
  odd,
});

export const mutation: fc.Arbitrary<Mutation> = fc.record({
  of: fc.constantFrom(...BY_KEY.keys()),
  twin: fc.boolean(),
  edits: fc.array(edit, { maxLength: 3 }),
  shape: fc.record({
    kind: rarely<Shape['kind']>('json', fc.constantFrom(...SHAPES)),
    odd,
    at: fc.nat(5000),
  }),
  type: rarely<string | null>('application/json', fc.constantFrom(...JSON_TYPES, ...OTHER_TYPES, null)),
  headers: fc.oneof(
    { weight: 4, arbitrary: fc.constant<Mutation['headers']>([]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.record({ name: fc.constantFrom(...ODD_HEADERS), value: headerValue }), {
        maxLength: 3,
      }),
    },
  ),
  path: rarely<string | null>(null, fc.constantFrom(...PATHS)),
  signature: fc.oneof(
    { weight: 3, arbitrary: fc.constant('right' as const) },
    { weight: 1, arbitrary: fc.constantFrom(...SIGNATURES) },
  ),
});

/** @param id the delivery's own id */
export function attemptOf(mutated: Mutation, id: string): Attempt {
  const delivery = BY_KEY.get(mutated.of);
  if (!delivery) throw new Error(`no delivery ${mutated.of}`);
  const { kind } = delivery;
  const isSigned = mutated.signature === 'right';
  const forge = forgeOf(kind, mutated.twin);
  const text = write(delivery.body, editsOf(delivery.body, mutated.edits));
  const body = shaped(isSigned ? text : text.replaceAll(PATH, `ml/${UNSIGNED}`), mutated.shape);
  const headers: Attempt['headers'] = {
    ...eventHeaders(forge, delivery.event, id),
    ...(mutated.type !== null && { 'content-type': mutated.type }),
  };
  for (const { name, value } of mutated.headers) {
    if (value === null) delete headers[name];
    else
      Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
  }
  Object.assign(headers, signatureHeaders(forge, body, mutated.signature, mutated.twin, id));
  return {
    forge,
    path: `/webhooks/${encodeURI(mutated.path ?? forge).replaceAll('%25', '%')}`,
    headers,
    body,
    isSigned,
    expected: expectedOf(mutated),
  };
}

function expectedOf({ path, type, signature }: Mutation): readonly number[] {
  if (path !== null) return [404];
  if (type === null || OTHER_TYPES.includes(type)) return [415];
  return signature === 'right' ? [200, 202, 400] : [401];
}

function forgeOf(kind: Kind, twin: boolean): string {
  if (kind === 'git') return 'plain';
  return kind === 'gitea' && twin ? 'forgejo' : kind;
}

/** @returns the paths of all values in a document, the whole first */
function pathsOf(value: Json, at = ''): string[] {
  const below =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, each]) => pathsOf(each, at === '' ? key : `${at}.${key}`))
      : [];
  return [at, ...below];
}

function editsOf(body: Json, edits: readonly Edit[]): Map<string, Edit> {
  const paths = pathsOf(body);
  return new Map(
    edits.map((each) => [
      typeof each.at === 'string' ? each.at : (paths[each.at % paths.length] ?? ''),
      each,
    ]),
  );
}

const textOf = ([begin, unit, times, end]: Odd): string => `${begin}${unit.repeat(times)}${end}`;

/** JSON with the edits in it: by hand, since much of what is wanted is no value. */
function write(value: Json, edits: ReadonlyMap<string, Edit>, at = ''): string {
  const own = edits.get(at);
  if (own?.change === 'replace') return textOf(own.odd);
  const written = writeParts(value, edits, at);
  return own?.change === 'wrap' ? `[${written}]` : written;
}

function writeParts(value: Json, edits: ReadonlyMap<string, Edit>, at: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const pathOf = (key: string | number) => (at === '' ? String(key) : `${at}.${key}`);
  if (Array.isArray(value))
    return `[${value.map((each, index) => write(each, edits, pathOf(index))).join(',')}]`;
  const members = Object.entries(value).flatMap(([key, each]) => {
    const own = edits.get(pathOf(key));
    const written = write(each, edits, pathOf(key));
    const name = JSON.stringify(key);
    if (own?.change === 'remove') return [];
    if (own?.change === 'rename') return [`"__proto__":${written}`];
    if (own?.change === 'duplicate') return [`${name}:${written}`, `${name}:${textOf(own.odd)}`];
    return [`${name}:${written}`];
  });
  return `{${members.join(',')}}`;
}

function shaped(text: string, { kind, odd: given, at }: Shape): Buffer {
  const bytes = Buffer.from(text);
  switch (kind) {
    case 'json':
      return bytes;
    case 'empty':
      return Buffer.alloc(0);
    case 'bom':
      return Buffer.concat([Buffer.from('\ufeff'), bytes]);
    case 'utf-16':
      return Buffer.from(text, 'utf16le');
    case 'latin-1':
      return Buffer.from(text.replaceAll('iris', 'irés'), 'latin1');
    case 'truncated':
      return bytes.subarray(0, at % bytes.length);
    case 'cut in a character':
      return Buffer.concat([bytes, Buffer.from('🚀').subarray(0, 2)]);
    case 'nul':
      return Buffer.concat([Buffer.alloc(at + 1), bytes]);
    case 'twice':
      return Buffer.concat([bytes, bytes]);
    case 'spaces':
      return Buffer.concat([Buffer.alloc(at, ' \t\r\n'), bytes]);
    case 'form':
      return Buffer.from(`payload=${encodeURIComponent(text.toWellFormed())}`);
    case 'html':
      return Buffer.from('<!doctype html><title>502 Bad Gateway</title>');
    case 'gzip':
      return gzipSync(bytes);
    case 'deep':
      return Buffer.from(`${'['.repeat(at * 50)}${']'.repeat(at * 50)}`);
    case 'odd':
      return Buffer.from(textOf(given));
  }
}
