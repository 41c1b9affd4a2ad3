import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeRequestBody, pushBody, signedHeaders, ZERO } from '../../../test/forges/gitlab-hook.ts';
import { webhookRequest } from '../contract.ts';
import { type WebhookDelivery, WebhookError, type WebhookRequest } from '../forge.ts';
import { createGitLabWebhooks } from './webhooks.ts';

const SIGNING = `whsec_${Buffer.from('s'.repeat(32)).toString('base64')}`;
const OTHER_SIGNING = `whsec_${Buffer.from('t'.repeat(32)).toString('base64')}`;
const SECRETS = ['a-plain-token', 'ein zweites: äöü', SIGNING, OTHER_SIGNING];
const [A, B, TAG_OBJECT] = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40)] as const;
const NOW = Date.parse('2026-03-01T12:00:00Z');

const { receive } = createGitLabWebhooks('gitlab', SECRETS, () => NOW);
const created = { ref: 'refs/tags/v1.0.0', before: null, after: A };
const body = JSON.stringify(pushBody(created));

const withToken = (text: string | Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
  webhookRequest({ 'X-Gitlab-Event': 'Push Hook', 'X-Gitlab-Token': 'a-plain-token', ...headers }, text);
const take = (changes: object, push: Parameters<typeof pushBody>[0] = created): WebhookDelivery =>
  receive(withToken(JSON.stringify({ ...pushBody(push), ...changes })));

const refusal = (work: () => WebhookDelivery): WebhookError => {
  try {
    work();
  } catch (error) {
    if (error instanceof WebhookError) return error;
    throw error;
  }
  throw new Error('the delivery was taken');
};
const refusedAs = (request: WebhookRequest, status: number): string => {
  const error = refusal(() => receive(request));
  expect(error).toMatchObject({ status });
  for (const secret of SECRETS) expect(error.message).not.toContain(secret);
  return error.message;
};

describe('a delivery with a secret token', () => {
  it.each(SECRETS.slice(0, 2))('is taken with the token %j', (token) => {
    expect(receive(withToken(body, { 'X-Gitlab-Token': token }))).toMatchObject({ kind: 'refs' });
  });

  it('is taken where the header came as Latin-1, as Node reads it', () => {
    const token = Buffer.from('ein zweites: äöü').toString('latin1');
    expect(receive(withToken(body, { 'X-Gitlab-Token': token }))).toMatchObject({ kind: 'refs' });
  });

  it.each(['a-plain-toke', 'a-plain-token ', 'A-PLAIN-TOKEN', 'x'])('is refused with %j', (token) => {
    expect(refusedAs(withToken(body, { 'X-Gitlab-Token': token }), 401)).toContain('X-Gitlab-Token');
  });

  it.each(['', undefined])('is refused with %j, as missing', (token) => {
    const headers = token === undefined ? {} : { 'X-Gitlab-Token': token };
    expect(refusedAs(webhookRequest(headers, body), 401)).toMatch(/missing/);
  });

  it('is refused with a signing token, which is never sent', () => {
    refusedAs(withToken(body, { 'X-Gitlab-Token': SIGNING }), 401);
  });

  it('is refused by a forge without secrets, or with an empty one, which says where to set one', () => {
    for (const secrets of [[], ['']]) {
      const open = createGitLabWebhooks('gitlab', secrets, () => NOW);
      expect(refusal(() => open.receive(webhookRequest({ 'X-Gitlab-Token': '' }, body)))).toMatchObject({
        status: 401,
      });
    }
    const open = createGitLabWebhooks('gitlab', [], () => NOW);
    expect(refusal(() => open.receive(withToken(body))).message).toContain('webhookSecrets');
  });
});

describe('a signed delivery', () => {
  const signed = (changes: Readonly<Record<string, string>> = {}, secret = SIGNING, at = NOW) =>
    webhookRequest({ ...signedHeaders(body, secret, at, 'an-id'), ...changes }, body);

  it('is what GitLab and the Standard Webhooks library make of the same message', () => {
    const at = 1_767_225_600;
    const known = createGitLabWebhooks(
      'gitlab',
      ['whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q='],
      () => at * 1000,
    );
    const headers = {
      'webhook-id': 'f5e5f430-f57b-4e6e-9fac-d9128cd7232f',
      'webhook-timestamp': String(at),
      'webhook-signature': 'v1,4gUq//vbp0lQpv1iEmZzhRauyLY4Rphe8jFNhZG6CR0=',
    };
    const text = '{"object_kind":"tag_push"}';
    // The signature fits, so it is the body that is complained of.
    expect(refusal(() => known.receive(webhookRequest(headers, text)))).toMatchObject({ status: 400 });
    const other = webhookRequest(headers, `${text} `);
    expect(refusal(() => known.receive(other))).toMatchObject({ status: 401 });
  });

  it.each([SIGNING, OTHER_SIGNING])('is taken with each signing token', (secret) => {
    expect(receive(signed({}, secret))).toMatchObject({ kind: 'refs', id: 'an-id' });
  });

  it('is taken where one of several signatures fits, while GitLab rotates', () => {
    const { 'webhook-signature': right } = signedHeaders(body, SIGNING, NOW, 'an-id');
    const several = `v1,AAAA v2,${right?.slice(3)} ${right}`;
    expect(receive(signed({ 'webhook-signature': several }))).toMatchObject({ kind: 'refs' });
  });

  it('is judged by the first ten signatures of version 1, so that nobody unknown makes us work for long', () => {
    const { 'webhook-signature': right = '' } = signedHeaders(body, SIGNING, NOW, 'an-id');
    const others = `${'v2,AAAA '.repeat(50)}${'AAAA '.repeat(50)}`;
    const wrong = `v1,${Buffer.alloc(32).toString('base64')} `;
    const tenth = signed({ 'webhook-signature': `${others}${wrong.repeat(9)}${right}` });
    expect(receive(tenth)).toMatchObject({ kind: 'refs' });
    refusedAs(signed({ 'webhook-signature': `${wrong.repeat(10)}${right}` }), 401);
  });

  it.each(['', 'v1,', 'v1', 'v1,AAAA', 'v2,4gUq', ' ', 'v1,ä'])(
    'is refused with the signature %j',
    (signature) => {
      refusedAs(signed({ 'webhook-signature': signature }), 401);
    },
  );

  it('is refused with a wrong signature although its secret token is right', () => {
    const headers = { 'X-Gitlab-Token': 'a-plain-token', 'webhook-signature': 'v1,AAAA' };
    expect(refusedAs(signed(headers), 401)).toContain('webhook-signature');
    const empty = { 'X-Gitlab-Token': 'a-plain-token', 'webhook-signature': '' };
    refusedAs(webhookRequest(empty, body), 401);
  });

  it('is refused where only secret tokens are configured, which says what to add', () => {
    const plain = createGitLabWebhooks('gitlab', ['a-plain-token'], () => NOW);
    const request = signed({ 'X-Gitlab-Token': 'a-plain-token' });
    expect(refusal(() => plain.receive(request)).message).toContain('whsec_');
  });

  it('is refused with a key that is the token as text, and not what it stands for', () => {
    refusedAs(webhookRequest(signedHeaders(body, `${SIGNING}\u0000`, NOW), body), 401);
  });

  it.each([
    'whsec_',
    'whsec_!!!!',
    'whsec_====',
    'whsec_QQ==',
    SIGNING.slice(0, -4),
    SIGNING.slice(0, -1),
    `${SIGNING} `,
    ` ${SIGNING}`.replace('whsec_', 'whsec_ ').trim(),
    `${SIGNING}\n`,
    SIGNING.replace('c3Nz', 'c3-z'),
  ])('is not waited for where the configured token is %j: that is told at once, by its place', (secret) => {
    const make = () => createGitLabWebhooks('company', ['a-plain-token', secret], () => NOW);
    expect(make).toThrow(/^the forge "company": entry 2 of webhookSecrets starts with whsec_/);
    expect(make).not.toThrow(secret.slice('whsec_'.length) || 'whsec_;');
  });

  it.each([-300, -1, 0, 1, 300])('that is %i seconds off is taken', (seconds) => {
    expect(receive(signed({}, SIGNING, NOW + seconds * 1000))).toMatchObject({ kind: 'refs' });
  });

  it.each([-301, 301, -86_400])('that is %i seconds off is refused, and clocks are named', (seconds) => {
    expect(refusedAs(signed({}, SIGNING, NOW + seconds * 1000), 401)).toContain('clocks');
  });

  it.each(['', 'soon', '1e9', '-1', ' 1', 'NaN', '9'.repeat(13)])('at %j is refused', (timestamp) => {
    expect(refusedAs(signed({ 'webhook-timestamp': timestamp }), 401)).toContain('webhook-timestamp');
  });

  it('without an id is refused, and so is one with another id than the signed one', () => {
    expect(refusedAs(signed({ 'webhook-id': '' }), 401)).toContain('webhook-id');
    refusedAs(signed({ 'webhook-id': 'another' }), 401);
  });

  it('has the id that is signed, whatever else a header says', () => {
    expect(receive(signed({ 'Idempotency-Key': 'forged' }))).toMatchObject({ id: 'an-id' });
  });
});

describe('the id of a delivery', () => {
  it('is GitLab’s key, which is the same when it is sent again', () => {
    expect(receive(withToken(body, { 'Idempotency-Key': 'k-1' }))).toMatchObject({ id: 'k-1' });
    expect(receive(withToken(body, { 'webhook-id': 'w-1' }))).toMatchObject({ id: 'w-1' });
  });

  it('is null for versions that send none, and never one of the headers that change or are shared', () => {
    const headers = { 'X-Gitlab-Webhook-UUID': 'u', 'X-Gitlab-Event-UUID': 'e' };
    expect(receive(withToken(body, headers))).toMatchObject({ kind: 'refs', id: null });
  });

  it.each(['', ' ', 'x'.repeat(129), 'a\nb', 'ä'])('is null for %j', (key) => {
    expect(receive(withToken(body, { 'Idempotency-Key': key }))).toMatchObject({ id: null });
  });
});

describe('a push', () => {
  const move = (changes: object, push?: Parameters<typeof pushBody>[0]) => {
    const delivery = take(changes, push);
    return delivery.kind === 'refs' ? delivery.moves[0] : delivery;
  };

  it('is told with the project’s number, and its path below any number of groups', () => {
    const project = { path_with_namespace: 'group/a/b/iris', web_url: 'https://evil.example.com' };
    expect(move({ project, project_id: 4_861_503 })).toEqual({
      repository: 'gitlab:group/a/b/iris',
      projectId: '4861503',
      ref: 'refs/tags/v1.0.0',
      before: null,
      after: A,
    });
  });

  it('of an annotated tag carries the commit', () => {
    expect(move({}, { ...created, object: TAG_OBJECT })).toMatchObject({ after: A });
  });

  it('of an annotated tag whose commit was not found carries what the tag is', () => {
    for (const checkout_sha of [null, undefined, ZERO])
      expect(move({ checkout_sha }, { ...created, object: TAG_OBJECT })).toMatchObject({ after: TAG_OBJECT });
  });

  it('of the test button is a push like others: of real commits, and of a tag that need not be there', () => {
    const push = { ref: 'refs/tags/main', before: A, after: B };
    expect(move({ checkout_sha: null }, push)).toMatchObject({ ref: 'refs/tags/main', before: A, after: B });
  });

  it('of a branch carries its head', () => {
    const push = { ref: 'refs/heads/main', before: A, after: B };
    expect(move({ checkout_sha: null }, push)).toMatchObject({ before: A, after: B });
  });

  it('that deletes says so, whatever else it holds', () => {
    expect(move({}, { ref: 'refs/tags/v1', before: A, after: null })).toMatchObject({
      after: null,
      before: A,
    });
    expect(move({ after: ZERO, before: B })).toMatchObject({ after: null });
    expect(move({ after: '0'.repeat(64), before: B })).toMatchObject({ after: null });
  });

  it('may be of a SHA-256 repository', () => {
    const sha = 'ab'.repeat(32);
    expect(move({ before: '0'.repeat(64), after: sha, checkout_sha: sha })).toMatchObject({
      before: null,
      after: sha,
    });
  });

  it('of a system hook has no object_kind, and no commits', () => {
    const { object_kind: _, ...system } = pushBody({ ...created, object: TAG_OBJECT });
    const request = withToken(JSON.stringify(system), { 'X-Gitlab-Event': 'System Hook' });
    expect(receive(request)).toMatchObject({ moves: [{ after: A, ref: 'refs/tags/v1.0.0' }] });
  });

  it('of another kind of ref is ignored, with the reason', () => {
    expect(take({ ref: 'refs/merge-requests/1/head' })).toEqual({
      kind: 'ignored',
      reason: 'refs/merge-requests/1/head is neither a branch nor a tag',
    });
  });

  it('whose before is its after is a test', () => {
    expect(take({ before: A, after: A })).toMatchObject({ kind: 'ignored' });
    expect(take({ before: ZERO, after: ZERO })).toMatchObject({ kind: 'ignored' });
  });

  it.each([
    ['ref', { ref: undefined }],
    ['ref', { ref: 7 }],
    ['before', { before: 'main' }],
    ['after', { after: null }],
    ['after', { after: A.toUpperCase() }],
    ['checkout_sha', { checkout_sha: 'v1' }],
    ['project_id', { project_id: '42' }],
    ['project_id', { project_id: -1 }],
    ['project_id', { project_id: 1.5 }],
    ['project', { project: undefined }],
    ['project.path_with_namespace', { project: {} }],
    ['project.path_with_namespace', { project: { path_with_namespace: 'ml/\ud800' } }],
  ])('whose %s is odd is refused, and the field is named: %j', (field, changes) => {
    expect(refusal(() => take(changes))).toMatchObject({
      status: 400,
      message: expect.stringContaining(`the body's ${field} must`),
    });
  });

  it.each(['../x', 'ml/../x', '/ml/iris', 'ml//iris', '-ml/iris', 'ml/\u0000', 'x'.repeat(2000)])(
    'for the repository %j is refused',
    (path_with_namespace) => {
      expect(refusal(() => take({ project: { path_with_namespace } }))).toMatchObject({ status: 400 });
    },
  );

  it.each(['refs/tags/..', 'refs/tags/', 'refs/tags/v1^{tree}', 'refs/heads/a.lock', 'refs/tags/v 1'])(
    'for the ref %j is refused',
    (ref) => {
      expect(refusal(() => take({ ref }))).toMatchObject({ status: 400 });
    },
  );
});

describe('a merge request', () => {
  it.each([
    ['open', 'opened'],
    ['update', 'updated'],
    ['reopen', 'reopened'],
    ['close', 'closed'],
    ['merge', 'merged'],
    ['approved', 'changed'],
    [undefined, 'changed'],
    ['__proto__', 'changed'],
  ])('whose action is %j tells of the project that has it', (action, became) => {
    const body = mergeRequestBody(action, 'group/a/fleet', 12);
    Object.assign(body['object_attributes'] ?? {}, { oldrev: 'a'.repeat(40) });
    expect(receive(withToken(JSON.stringify(body)))).toEqual({
      kind: 'changed',
      what: 'pullRequest',
      repository: 'gitlab:group/a/fleet',
      reason: `merge request !12 was ${became}`,
    });
  });

  it('whose title or labels alone were changed is ignored', () => {
    expect(receive(withToken(JSON.stringify(mergeRequestBody('update', 'group/a/fleet', 12))))).toMatchObject(
      {
        kind: 'ignored',
      },
    );
  });

  it('that goes to another branch now tells so, though nothing was pushed', () => {
    const changes = { target_branch: { previous: 'release', current: 'main' } };
    const body = { ...mergeRequestBody('update', 'group/a/fleet', 12), changes };
    expect(receive(withToken(JSON.stringify(body)))).toMatchObject({
      kind: 'changed',
      repository: 'gitlab:group/a/fleet',
    });
  });

  it('of a fork tells of the project that it goes to', () => {
    const made = mergeRequestBody('open', 'platform/fleet');
    Object.assign(made['object_attributes'] ?? {}, { source: { path_with_namespace: 'somebody/fleet' } });
    expect(receive(withToken(JSON.stringify(made)))).toMatchObject({ repository: 'gitlab:platform/fleet' });
  });

  it.each([
    ['project', { project: undefined }],
    ['project.path_with_namespace', { project: { path_with_namespace: 7 } }],
    ['object_attributes', { object_attributes: null }],
    ['object_attributes.iid', { object_attributes: { iid: '1' } }],
    ['object_attributes.action', { object_attributes: { iid: 1, action: {} } }],
    ['changes', { changes: [] }],
  ])('whose %s is odd is refused, and the field is named: %j', (field, changes) => {
    const request = withToken(JSON.stringify({ ...mergeRequestBody('open'), ...changes }));
    expect(refusedAs(request, 400)).toContain(`the body's ${field} must`);
  });

  it.each(['../x', 'ml//iris', '-ml/iris', 'ml/\u0000'])('of the repository %j is refused', (path) => {
    refusedAs(withToken(JSON.stringify(mergeRequestBody('open', path))), 400);
  });
});

describe('a system hook', () => {
  const system = (event_name: string, changes: object = {}) =>
    withToken(
      JSON.stringify({
        event_name,
        project_id: 73,
        path_with_namespace: 'jsmith/underscore',
        old_path_with_namespace: 'jsmith/overscore',
        ...changes,
      }),
      { 'X-Gitlab-Event': 'System Hook' },
    );

  it.each(['project_rename', 'project_transfer'])('with %s tells of the project by its new path', (name) => {
    expect(receive(system(name))).toEqual({
      kind: 'changed',
      what: 'name',
      repository: 'gitlab:jsmith/underscore',
      reason: expect.stringMatching(/^the project was \w/),
    });
    expect(refusedAs(system(name, { path_with_namespace: undefined }), 400)).toContain('path_with_namespace');
    refusedAs(system(name, { path_with_namespace: 'jsmith/../root' }), 400);
  });

  it.each(['group_rename', 'user_rename'])(
    'with %s is ignored, which says when the names are known',
    (name) => {
      expect(receive(system(name))).toEqual({
        kind: 'ignored',
        reason: expect.stringContaining('new names'),
      });
    },
  );
});

describe('other deliveries', () => {
  it.each(['note', 'repository_update', 'pipeline', 'project_update', 'x y'])(
    'of %s are ignored, with the reason',
    (kind) => {
      const project = take({ object_kind: kind });
      expect(project).toMatchObject({ kind: 'ignored', reason: expect.stringMatching(/\w/) });
      const system = { event_name: kind, project_id: 73, old_path_with_namespace: 'a/b' };
      expect(receive(withToken(JSON.stringify(system)))).toEqual(project);
    },
  );

  it.each([
    '{}',
    '{"object_kind":null}',
    '{"object_kind":7}',
    '{"text":"a tag was pushed"}',
    '[]',
    '"x"',
    'null',
  ])('that a custom template made into %s are refused, and templates are named', (text) => {
    expect(refusedAs(withToken(text), 400)).toContain('template');
  });

  it.each(['', 'object_kind=push', '{"object_kind":'])('that are no JSON (%j) are refused', (text) => {
    expect(refusedAs(withToken(text), 400)).toContain('not JSON');
  });
});

describe('any delivery', () => {
  it('that is signed rightly is a delivery, ignored, or refused with a sentence', () => {
    const odd = fc.oneof(
      fc.constantFrom(A, ZERO, '', 'refs/tags/v1', '__proto__', '\ud800', '\u0000', 'x'.repeat(100_000)),
      fc.string({ unit: 'binary' }),
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom('__proto__', 'constructor', 'path_with_namespace', 'id'), fc.jsonValue()),
    );
    const fields = [
      'object_kind',
      'event_name',
      'ref',
      'before',
      'after',
      'checkout_sha',
      'project_id',
      'project',
      'object_attributes',
      'path_with_namespace',
    ];
    const bases = [
      pushBody(created),
      mergeRequestBody('open'),
      { event_name: 'project_rename', path_with_namespace: 'ml/iris', project_id: 42 },
    ];
    const change = fc.tuple(fc.constantFrom(...fields, '__proto__'), fc.option(odd, { nil: undefined }));
    const path = fc.option(odd, { nil: 'ml/iris' });
    const mutated = fc
      .tuple(fc.constantFrom(...bases), fc.array(change, { maxLength: 3 }), path)
      .map(([base, changes, path_with_namespace]) =>
        // Not a spread: __proto__ is to be a key like others.
        JSON.stringify(
          Object.fromEntries([
            ...Object.entries({ ...base, path_with_namespace, project: { path_with_namespace } }),
            ...changes,
          ]),
        ),
      );
    const bytes = fc.oneof(
      { weight: 8, arbitrary: mutated },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
      { weight: 1, arbitrary: fc.json() },
    );
    const seen = new Set<string>();
    fc.assert(
      fc.property(bytes, (text) => {
        try {
          const delivery = receive(webhookRequest(signedHeaders(text, SIGNING, NOW), text));
          seen.add(delivery.kind);
          if (delivery.kind !== 'refs') {
            expect(delivery.reason).toMatch(/./);
            if (delivery.kind === 'ignored') return;
            expect(delivery.repository).not.toMatch(/\.\.|\/\/|\/-|\p{Cc}/u);
            expect(delivery.repository.isWellFormed()).toBe(true);
            return;
          }
          for (const { repository, ref, after, before, projectId } of delivery.moves) {
            expect(`${repository} ${ref}`).not.toMatch(/\.\.|\/\/|\/-|\p{Cc}/u);
            expect(`${repository} ${ref}`.isWellFormed()).toBe(true);
            expect(ref).toMatch(/^refs\/(heads|tags)\/./);
            expect(projectId).toMatch(/^\d+$/);
            for (const sha of [after, before])
              expect(sha === null || /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(sha)).toBe(true);
          }
        } catch (error) {
          if (!(error instanceof WebhookError)) throw error;
          expect(error.status).toBe(400);
          seen.add('refused');
        }
      }),
      { numRuns: 1000 },
    );
    expect([...seen].sort()).toEqual(['changed', 'ignored', 'refs', 'refused']);
  });
});
