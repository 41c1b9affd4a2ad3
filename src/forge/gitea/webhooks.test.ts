import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { giteaHeaders, giteaPayload, giteaRequest } from '../../../test/forges/gitea-delivery.ts';
import { webhookRequest } from '../contract.ts';
import { type WebhookDelivery, WebhookError } from '../forge.ts';
import { createGiteaWebhooks, sign } from './webhooks.ts';

const SECRETS = ['the first secret', 'ein zweites Geheimnis: äöü'];
const [SECRET = ''] = SECRETS;
const ZERO = '0'.repeat(40);
const [A, B, TAG] = ['a'.repeat(40), 'b'.repeat(40), 'f'.repeat(40)] as const;
const { receive } = createGiteaWebhooks('gitea', SECRETS);

const push = (changes: object = {}) => ({
  ...giteaPayload({ ref: 'refs/tags/v1.0.0', before: null, after: A }, 'ml/iris').body,
  ...changes,
});
const take = (event: string, body: unknown) => receive(giteaRequest(event, JSON.stringify(body), SECRET));

function refusal(work: () => WebhookDelivery): WebhookError {
  try {
    work();
  } catch (error) {
    if (error instanceof WebhookError) return error;
    throw error;
  }
  throw new Error('the delivery was taken');
}

describe('the signature of a delivery', () => {
  const body = JSON.stringify(push());
  const withHeaders = (headers: Record<string, string>) =>
    receive(webhookRequest({ 'X-Gitea-Event': 'push', ...headers }, body));

  it('is the bare digits, as openssl computes them', () => {
    // printf '%s' '{"ref":"refs/tags/v1.0.0"}' | openssl dgst -sha256 -hmac 'the first secret'
    expect(sign(SECRET, '{"ref":"refs/tags/v1.0.0"}')).toBe(
      '4ee0385d9b25fe2af277c7895880febc099827c4fcdb992ee14c1d82e023f446',
    );
  });

  it.each(['X-Gitea-Signature', 'X-Forgejo-Signature', 'x-gitea-signature'])('comes in %s', (name) => {
    expect(withHeaders({ [name]: sign(SECRET, body) })).toMatchObject({ kind: 'refs' });
  });

  it('is enough in one of the two headers that Forgejo sends', () => {
    const right = sign(SECRET, body);
    for (const other of ['', '0'.repeat(64)]) {
      expect(withHeaders({ 'X-Gitea-Signature': other, 'X-Forgejo-Signature': right })).toMatchObject({
        kind: 'refs',
      });
      expect(withHeaders({ 'X-Gitea-Signature': right, 'X-Forgejo-Signature': other })).toMatchObject({
        kind: 'refs',
      });
    }
  });

  it('is refused where it is empty, as of a webhook without a secret', () => {
    const error = refusal(() => receive(giteaRequest('push', body, null)));
    expect(error).toMatchObject({
      status: 401,
      message: expect.stringMatching(/missing or empty; set the webhook's secret/),
    });
  });

  it.each(['sha256=', ' ', 'g'.repeat(64), '0'.repeat(64), '0'.repeat(63), 'ä'.repeat(32)])(
    '%j is refused',
    (signature) => {
      expect(refusal(() => withHeaders({ 'X-Gitea-Signature': signature }))).toMatchObject({ status: 401 });
    },
  );

  it("is not looked for in GitHub's or Gogs' headers", () => {
    const signature = sign(SECRET, body);
    const headers = {
      'X-Hub-Signature-256': `sha256=${signature}`,
      'X-Gogs-Signature': signature,
      'X-GitHub-Event': 'push',
    };
    expect(refusal(() => withHeaders(headers))).toMatchObject({ status: 401 });
    expect(refusal(() => withHeaders({ 'X-Gitea-Signature': `sha256=${signature}` }))).toMatchObject({
      status: 401,
    });
  });

  it('of a form does not fit: the JSON in it is signed; the message says what to set', () => {
    const form = `payload=${encodeURIComponent(body)}`;
    const request = webhookRequest({ ...giteaHeaders('push', body, SECRET) }, form);
    expect(refusal(() => receive(request))).toMatchObject({
      status: 401,
      message: expect.stringContaining('application/json'),
    });
  });

  it('is never told, nor the secret', () => {
    const { message } = refusal(() => receive(giteaRequest('push', body, 'wrong')));
    for (const secret of SECRETS)
      for (const told of [secret, sign(secret, body)]) expect(message).not.toContain(told);
  });

  it('is refused where no secret is configured', () => {
    const { receive: open } = createGiteaWebhooks('gitea', []);
    for (const secret of ['', SECRET, null])
      expect(refusal(() => open(giteaRequest('push', body, secret)))).toMatchObject({
        status: 401,
        message: expect.stringContaining('webhookSecrets'),
      });
  });
});

describe('a push', () => {
  it('with all of its headers, also those of GitHub, is one of Gitea', () => {
    const request = giteaRequest('push', JSON.stringify(push(), null, 2), SECRET);
    expect(receive(request)).toEqual({
      kind: 'refs',
      id: request.header('X-Gitea-Delivery'),
      moves: [
        { repository: 'gitea:ml/iris', projectId: '42', ref: 'refs/tags/v1.0.0', before: null, after: A },
      ],
    });
  });

  it('from Forgejo alone is told by its own headers', () => {
    const body = JSON.stringify(push());
    const headers = {
      'X-Forgejo-Event': 'push',
      'X-Forgejo-Delivery': 'an-id',
      'X-Forgejo-Signature': sign(SECRET, body),
    };
    expect(receive(webhookRequest(headers, body))).toMatchObject({ kind: 'refs', id: 'an-id' });
  });

  it('of an annotated tag carries the commit of the head commit', () => {
    expect(take('push', push({ after: TAG, head_commit: { id: A } }))).toMatchObject({
      moves: [{ after: A }],
    });
  });

  it('of a tag without a head commit carries what there is', () => {
    for (const head_commit of [null, undefined])
      expect(take('push', push({ after: TAG, head_commit }))).toMatchObject({ moves: [{ after: TAG }] });
  });

  it('of a branch carries where the branch is, whatever the head commit says', () => {
    const branch = push({ ref: 'refs/heads/main', before: A, after: B, head_commit: { id: A } });
    expect(take('push', branch)).toMatchObject({ moves: [{ before: A, after: B }] });
  });

  it('of a moved tag does not say where it was', () => {
    expect(take('push', push({ before: ZERO, after: B, head_commit: { id: B } }))).toMatchObject({
      moves: [{ before: null, after: B }],
    });
  });

  it('of a deleted tag, and of a deleted branch where a version sends one, says where it was', () => {
    for (const ref of ['refs/tags/v1.0.0', 'refs/heads/main'])
      expect(take('push', push({ ref, before: A, after: ZERO, head_commit: null }))).toMatchObject({
        moves: [{ ref, before: A, after: null }],
      });
  });

  it('in a repository of SHA-256 has longer names, and zeros', () => {
    const sha = 'c'.repeat(64);
    const body = push({ before: '0'.repeat(64), after: sha, head_commit: { id: sha } });
    expect(take('push', body)).toMatchObject({ moves: [{ before: null, after: sha }] });
  });

  it.each(['refs/pull/1/head', 'refs/notes/commits', 'refs/for/main', 'HEAD'])('of %s is ignored', (ref) => {
    expect(take('push', push({ ref }))).toEqual({
      kind: 'ignored',
      reason: `${ref} is neither a branch nor a tag`,
    });
  });

  it('from the test button is ignored', () => {
    for (const sha of [A, ZERO])
      expect(take('push', push({ before: sha, after: sha }))).toMatchObject({
        kind: 'ignored',
        reason: expect.stringContaining('test'),
      });
  });

  it.each([
    [{ ref: 'refs/tags/../../etc' }, /the ref .* contains "\.\."/],
    [{ ref: 'refs/tags/v1^{tree}' }, /not a name Git allows/],
    [{ ref: 'refs/tags/a\nb' }, /control character/],
    [{ ref: 'refs/tags/-v1' }, /starts with "-"/],
    [{ repository: { id: 1, full_name: '../secrets' } }, /the repository .* contains "\.\."/],
    [{ repository: { id: 1, full_name: 'ml//iris' } }, /empty path segment/],
    [{ repository: { id: 1, full_name: '-ml/iris' } }, /starts with "-"/],
    [{ ref: 7 }, /^the body's ref must be there, as text/],
    [{ before: 'main' }, /^the body's before must be a full object name/],
    [{ after: undefined }, /^the body's after must be there/],
    [{ head_commit: 'abc' }, /^the body's head_commit must be an object/],
    [{ head_commit: { id: 'short' } }, /^the body's head_commit\.id must be a full object name/],
    [{ repository: null }, /^the body's repository must be there/],
    [
      { repository: { id: '1', full_name: 'ml/iris' } },
      /^the body's repository\.id must be there, as a number/,
    ],
    [{ repository: { id: 1 } }, /^the body's repository\.full_name must be there/],
  ])('with %j is refused with a sentence', (changes, message) => {
    const error = refusal(() => take('push', push(changes)));
    expect(error).toMatchObject({ status: 400, message: expect.stringMatching(message) });
  });

  it('without an event is refused', () => {
    const body = JSON.stringify(push());
    const error = refusal(() => receive(webhookRequest({ 'X-Gitea-Signature': sign(SECRET, body) }, body)));
    expect(error).toMatchObject({ status: 400, message: 'the header X-Gitea-Event is missing' });
  });

  it.each(['', 'x'.repeat(129), 'a b', 'ä'])('with the id %j is taken without one', (id) => {
    const body = JSON.stringify(push());
    const headers = { ...giteaHeaders('push', body, SECRET), 'X-Gitea-Delivery': id };
    expect(receive(webhookRequest(headers, body))).toMatchObject({ kind: 'refs', id: null });
  });
});

describe('a deletion', () => {
  const repository = { id: 42, full_name: 'ml/iris' };

  it('of a branch is told by `delete` alone, with a short name and no commit', () => {
    expect(take('delete', { ref: 'feature/x', ref_type: 'branch', repository })).toMatchObject({
      kind: 'refs',
      moves: [
        {
          repository: 'gitea:ml/iris',
          projectId: '42',
          ref: 'refs/heads/feature/x',
          before: null,
          after: null,
        },
      ],
    });
  });

  it('of a tag is told by its push, so `delete` is ignored', () => {
    expect(take('delete', { ref: 'v1.0.0', ref_type: 'tag', repository })).toMatchObject({ kind: 'ignored' });
  });

  it('of a branch with an unsafe name is refused', () => {
    expect(refusal(() => take('delete', { ref: '../x', ref_type: 'branch', repository }))).toMatchObject({
      status: 400,
    });
  });
});

describe('a change of a pull request', () => {
  const told = (changes: object = {}) => ({
    action: 'opened',
    number: 12,
    repository: { id: 42, full_name: 'platform/fleet' },
    ...changes,
  });

  it.each(['opened', 'closed', 'reopened', 'edited', 'synchronized'])(
    'that was %s is told of the repository that has it',
    (action) => {
      expect(take('pull_request', told({ action }))).toEqual({
        kind: 'changed',
        what: 'pullRequest',
        repository: 'gitea:platform/fleet',
        reason: `pull request #12 was ${action}`,
      });
    },
  );

  it.each(['label_updated', 'assigned', 'milestoned', 'review_requested', 'x'.repeat(500)])(
    'that was %s changes nothing anybody waits for',
    (action) => {
      expect(take('pull_request', told({ action }))).toMatchObject({
        kind: 'ignored',
        reason: expect.stringMatching(/^.{1,120}$/),
      });
    },
  );

  it('says nothing of the branch it comes from, which may be in a fork', () => {
    const pull_request = { head: { repo: { full_name: 'mallory/fleet' } } };
    expect(take('pull_request', told({ pull_request }))).toMatchObject({
      repository: 'gitea:platform/fleet',
    });
  });

  it.each([
    [{ action: 7 }, /^the body's action must be there, as text/],
    [{ number: '12' }, /^the body's number must be there, as a number/],
    [{ number: 0 }, /^the body's number must be positive/],
    [{ repository: null }, /^the body's repository must be there/],
    [{ repository: { id: 1, full_name: '../secrets' } }, /the repository .* contains "\.\."/],
  ])('with %j is refused with a sentence', (changes, message) => {
    const error = refusal(() => take('pull_request', told(changes)));
    expect(error).toMatchObject({ status: 400, message: expect.stringMatching(message) });
  });
});

it.each([
  'create',
  'issue_comment',
  'pull_request_approved',
  'repository',
  'release',
  'wiki',
  'package',
  'x'.repeat(500),
])('the event %s is ignored, with a reason', (event) => {
  const delivery = take(event, { repository: { id: 1, full_name: 'ml/iris' } });
  expect(delivery).toMatchObject({ kind: 'ignored', reason: expect.stringMatching(/^.{1,120}$/) });
});

/** Any JSON, with the keys that objects inherit, too. */
const anyJson = fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' });
const oddValue = fc.oneof(
  anyJson,
  fc.constantFrom<unknown>(
    null,
    0,
    -1,
    1e308,
    '',
    '\u0000',
    '\ud800',
    'x'.repeat(100_000),
    [],
    {},
    ZERO,
    '0'.repeat(64),
  ),
  fc.string({ unit: 'binary' }),
);
const PATHS = [
  'ref',
  'ref_type',
  'action',
  'number',
  'before',
  'after',
  'head_commit',
  'head_commit.id',
  'repository',
  'repository.id',
  'repository.full_name',
  '__proto__',
  'constructor',
];

function mutate(body: Record<string, unknown>, path: string, value: unknown): void {
  const [first = '', second] = path.split('.');
  const at = second === undefined ? body : body[first];
  if (typeof at !== 'object' || at === null) return;
  const key = second ?? first;
  if (value === undefined) delete (at as Record<string, unknown>)[key];
  else Object.defineProperty(at, key, { value, enumerable: true, configurable: true, writable: true });
}

it('whatever a signed body says, it is a delivery, ignored, or refused with a sentence', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('push', 'delete', 'create', 'pull_request', '__proto__', 'constructor'),
      fc.array(fc.tuple(fc.constantFrom(...PATHS), fc.option(oddValue, { nil: undefined })), {
        maxLength: 4,
      }),
      fc.option(anyJson, { nil: undefined, freq: 9 }),
      (event, changes, whole) => {
        const body = JSON.parse(
          JSON.stringify({ ...push(), ref_type: 'branch', action: 'closed', number: 7 }),
        );
        for (const [path, value] of changes) mutate(body, path, value);
        const text = JSON.stringify(whole === undefined ? body : whole);
        try {
          const delivery = receive(giteaRequest(event, text, SECRET));
          expect(['refs', 'changed', 'ignored']).toContain(delivery.kind);
          if (delivery.kind === 'changed') {
            expect(delivery.repository).toMatch(/^gitea:[^-]/);
            expect(delivery.reason).toMatch(/^pull request #[1-9]\d* was [a-z]+$/);
          }
          if (delivery.kind === 'refs')
            for (const { ref, repository } of delivery.moves) {
              expect(ref).toMatch(/^refs\/(?:heads|tags)\/[^\s~^:?*[\\]+$/);
              expect(repository).toMatch(/^gitea:[^-]/);
            }
        } catch (error) {
          expect(error).toBeInstanceOf(WebhookError);
          expect((error as WebhookError).status).toBe(400);
          expect((error as WebhookError).message.length).toBeLessThan(3000);
        }
      },
    ),
    { numRuns: 500 },
  );
});
