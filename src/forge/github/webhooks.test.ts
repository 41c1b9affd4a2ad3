import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { webhookRequest } from '../contract.ts';
import { type WebhookDelivery, WebhookError } from '../forge.ts';
import { createGitHubWebhooks, DELIVERY_HEADER, EVENT_HEADER, SIGNATURE_HEADER, sign } from './webhooks.ts';

const SECRETS = ['the first secret', 'ein zweites Geheimnis: äöü'];
const ZERO = '0'.repeat(40);
const [A, B, TAG_OBJECT] = ['a'.repeat(40), 'b'.repeat(40), 'f'.repeat(40)] as const;

const { receive } = createGitHubWebhooks('github', SECRETS);

const push = (changes: Record<string, unknown> = {}) => ({
  ref: 'refs/tags/v1.0.0',
  before: ZERO,
  after: A,
  created: true,
  deleted: false,
  forced: false,
  base_ref: null,
  commits: [],
  head_commit: { id: A, message: 'Train', timestamp: '2026-03-01T12:00:00+01:00' },
  repository: { id: 135_493_233, full_name: 'ml/iris', clone_url: 'https://evil.example.com/ml/iris.git' },
  pusher: { name: 'ada' },
  sender: { login: 'ada' },
  ...changes,
});

const signed = (
  body: unknown,
  headers: Record<string, string> = {},
  secret: string = SECRETS[0] as string,
) => {
  const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  return webhookRequest(
    {
      [EVENT_HEADER]: 'push',
      [DELIVERY_HEADER]: 'a-guid',
      [SIGNATURE_HEADER]: sign(secret, bytes),
      ...headers,
    },
    bytes,
  );
};
const take = (changes: Record<string, unknown>) => receive(signed(push(changes)));
/** Takes a delivery of another event than a push. */
const tell = (event: string, changes: Record<string, unknown>) =>
  receive(
    signed({ repository: { id: 135_493_233, full_name: 'ml/iris' }, ...changes }, { [EVENT_HEADER]: event }),
  );
const refusal = (work: () => WebhookDelivery): WebhookError => {
  try {
    work();
  } catch (error) {
    if (error instanceof WebhookError) return error;
    throw error;
  }
  throw new Error('the delivery was taken');
};

describe('a webhook of GitHub', () => {
  it('is signed as GitHub documents it, to the byte', () => {
    // docs.github.com, "Validating webhook deliveries": secret, payload and signature to test with
    expect(sign("It's a Secret to Everybody", 'Hello, World!')).toBe(
      'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
    );
  });

  it('tells of a lightweight tag, with the repository’s number and the delivery’s id', () => {
    expect(take({})).toEqual({
      kind: 'refs',
      id: 'a-guid',
      moves: [
        {
          repository: 'github:ml/iris',
          projectId: '135493233',
          ref: 'refs/tags/v1.0.0',
          before: null,
          after: A,
        },
      ],
    });
  });

  it('tells of an annotated tag by its commit, not by the tag object', () => {
    expect(take({ after: TAG_OBJECT })).toMatchObject({ moves: [{ after: A }] });
  });

  it('of a tag without its commit tells what there is: reading the ref will find the commit', () => {
    expect(take({ after: TAG_OBJECT, head_commit: null })).toMatchObject({ moves: [{ after: TAG_OBJECT }] });
    expect(take({ after: TAG_OBJECT, head_commit: undefined })).toMatchObject({
      moves: [{ after: TAG_OBJECT }],
    });
  });

  it('tells of a tag that moved by force', () => {
    const moved = { before: A, after: B, forced: true, created: false, head_commit: { id: B } };
    expect(take(moved)).toMatchObject({ moves: [{ before: A, after: B }] });
  });

  it('tells of a branch by what it points to', () => {
    const moved = { ref: 'refs/heads/main', before: A, after: B, created: false, head_commit: { id: B } };
    expect(take(moved)).toMatchObject({ moves: [{ ref: 'refs/heads/main', before: A, after: B }] });
  });

  it.each([ZERO, '0'.repeat(64)])('tells of a deletion: after is %s, and head_commit null', (zeros) => {
    const gone = { before: A, after: zeros, created: false, deleted: true, head_commit: null };
    expect(take(gone)).toMatchObject({ kind: 'refs', moves: [{ before: A, after: null }] });
  });

  it('that calls itself a deletion deploys nothing, whatever else it says', () => {
    expect(take({ before: A, after: B, deleted: true })).toMatchObject({ moves: [{ after: null }] });
  });

  it('may carry the names of a SHA-256 repository', () => {
    const after = 'ab'.repeat(32);
    expect(take({ before: '0'.repeat(64), after, head_commit: { id: after } })).toMatchObject({
      moves: [{ before: null, after }],
    });
  });

  it('may come from a GitHub Enterprise Server, whose headers change nothing', () => {
    const headers = {
      'X-GitHub-Enterprise-Host': 'evil.example.com',
      'X-GitHub-Enterprise-Version': '3.14.0',
    };
    expect(receive(signed(push(), headers))).toMatchObject({ moves: [{ repository: 'github:ml/iris' }] });
  });

  it('that is a ping is ignored', () => {
    const ping = { zen: 'Speak like a human.', hook_id: 1, repository: { id: 1, full_name: 'ml/iris' } };
    expect(receive(signed(ping, { [EVENT_HEADER]: 'ping' }))).toEqual({
      kind: 'ignored',
      reason: 'a ping: the webhook works',
    });
  });

  it('whose before and after are the same is a test, and ignored', () => {
    expect(take({ before: A })).toMatchObject({ kind: 'ignored', reason: expect.stringContaining('test') });
  });

  it.each(['create', 'delete', 'issue_comment', 'installation', 'workflow_run'])(
    'of %s is ignored: a push alone carries a commit',
    (event) => {
      // create and delete name the ref in short, and no commit.
      const body = { ref: 'v1', ref_type: 'tag', repository: { id: 1, full_name: 'ml/iris' } };
      expect(receive(signed(body, { [EVENT_HEADER]: event }))).toEqual({
        kind: 'ignored',
        reason: `the event ${event} tells of no push, pull request or new name`,
      });
    },
  );

  it('of a pull request names the repository that has it, not the fork that it comes from', () => {
    const head = { ref: 'modelhook/prod/iris', repo: { id: 2, full_name: 'eve/iris' } };
    expect(tell('pull_request', { number: 7, action: 'closed', pull_request: { head } })).toEqual({
      kind: 'changed',
      what: 'pullRequest',
      repository: 'github:ml/iris',
      reason: 'pull request #7: closed',
    });
    for (const action of ['labeled', 'assigned', 'review_requested', '<b>'])
      expect(tell('pull_request', { number: 7, action })).toMatchObject({ kind: 'ignored' });
  });

  it.each(['opened', 'synchronize', 'reopened', 'edited', 'closed'])(
    'tells that a pull request was %s, a draft and one that goes to another branch now too',
    (action) => {
      const more = { pull_request: { draft: true }, changes: { base: { ref: { from: 'release' } } } };
      expect(tell('pull_request', { number: 7, action, ...more })).toMatchObject({ what: 'pullRequest' });
    },
  );

  it.each(['renamed', 'transferred'])('tells that a repository was %s, by its new name', (action) => {
    const changes = { repository: { name: { from: 'old-iris' } } };
    expect(tell('repository', { action, changes })).toEqual({
      kind: 'changed',
      what: 'name',
      repository: 'github:ml/iris',
      reason: `the repository was ${action}`,
    });
  });

  it.each(['archived', 'deleted', 'edited', 'publicized'])(
    'of a repository that is %s is ignored',
    (action) => {
      expect(tell('repository', { action })).toEqual({
        kind: 'ignored',
        reason: 'the event repository tells of no new name',
      });
    },
  );

  it.each([
    ['pull_request', { action: 7, number: 7 }],
    ['pull_request', { action: 'closed', number: 0 }],
    ['pull_request', { action: 'closed', number: 7, repository: { id: 1, full_name: '../iris' } }],
    ['repository', { action: 'renamed', repository: { id: 1, full_name: 'ml/vision/iris' } }],
    ['repository', { action: 'renamed', repository: null }],
  ])('of %s is refused where it says %j', (event, changes) => {
    expect(refusal(() => tell(event, changes))).toMatchObject({ status: 400 });
  });

  it('of an event that is no word is ignored, and not repeated', () => {
    const odd = receive(signed(push(), { [EVENT_HEADER]: '<script>' }));
    expect(odd).toEqual({
      kind: 'ignored',
      reason: 'the event tells of no push, pull request or new name',
    });
  });

  it.each(['refs/notes/modelhook', 'refs/pull/1/head', 'refs/stash', 'v1', 'refs/tagsv1'])(
    'for the ref %j is ignored, with the reason',
    (ref) => {
      expect(take({ ref })).toEqual({ kind: 'ignored', reason: `${ref} is neither a branch nor a tag` });
    },
  );

  it.each([
    'refs/tags/..',
    'refs/tags//v1',
    'refs/tags/',
    'refs/tags/-v1',
    'refs/tags/v1\n',
    'refs/tags/v1^{}',
    '',
    '\ud800',
  ])('for the ref %j is refused', (ref) => {
    expect(refusal(() => take({ ref }))).toMatchObject({ status: 400 });
  });

  it.each([
    '',
    'iris',
    'a/b/c',
    '../iris',
    'ml/..',
    '-x/y',
    'ml/\u0000',
    '/iris',
    'ml/',
    'x'.repeat(2000),
    'ml/\ud800',
  ])('for the repository %j is refused, and the field is named', (full_name) => {
    expect(refusal(() => take({ repository: { id: 1, full_name } }))).toMatchObject({
      status: 400,
      message: expect.stringContaining('repository.full_name'),
    });
  });

  it.each([
    ['ref', { ref: 42 }],
    ['before', { before: 'main' }],
    ['after', { after: null }],
    ['after', { after: A.toUpperCase() }],
    ['deleted', { deleted: 'no' }],
    ['head_commit', { head_commit: 'text' }],
    ['head_commit.id', { head_commit: {} }],
    ['repository', { repository: null }],
    ['repository.id', { repository: { full_name: 'ml/iris' } }],
    ['repository.id', { repository: { id: 1.5, full_name: 'ml/iris' } }],
    ['repository.id', { repository: { id: -1, full_name: 'ml/iris' } }],
  ])('with a wrong %s is refused, and the field is named', (field, changes) => {
    const { status, message } = refusal(() => take(changes));
    expect(status).toBe(400);
    expect(message).toMatch(new RegExp(`^the body's ${field} must`));
  });

  it('without an event is refused', () => {
    expect(refusal(() => receive(signed(push(), { [EVENT_HEADER]: '' })))).toMatchObject({ status: 400 });
  });

  it('without an id, or with one that is none, is taken all the same', () => {
    for (const id of ['', 'x'.repeat(129), 'a b', 'a\n'])
      expect(receive(signed(push(), { [DELIVERY_HEADER]: id }))).toMatchObject({ kind: 'refs', id: null });
  });

  it.each(['X-Gitea-Event', 'X-Forgejo-Event', 'X-Gogs-Event'])(
    'that has %s beside GitHub’s headers is refused: the forge has the wrong kind',
    (name) => {
      expect(refusal(() => receive(signed(push(), { [name]: 'push' })))).toMatchObject({
        status: 400,
        message: expect.stringContaining(name),
      });
    },
  );

  it.each(['sha256=', 'sha256', 'sha1=abc', `sha256=${'0'.repeat(64)}`, sign('', '{}').slice(7), 'ä'])(
    'with the signature %j is refused',
    (signature) => {
      expect(refusal(() => receive(signed(push(), { [SIGNATURE_HEADER]: signature })))).toMatchObject({
        status: 401,
      });
    },
  );

  it('with the old SHA-1 signature alone is refused', () => {
    const body = JSON.stringify(push());
    const headers = { [EVENT_HEADER]: 'push', 'X-Hub-Signature': 'sha1=0000' };
    expect(refusal(() => receive(webhookRequest(headers, body))).message).toMatch(
      /X-Hub-Signature-256 is missing/,
    );
  });

  it('is refused by a forge that has no secret, which says where to set one', () => {
    const open = createGitHubWebhooks('github', []);
    expect(refusal(() => open.receive(signed(push(), {}, '')))).toMatchObject({
      status: 401,
      message: expect.stringContaining('webhookSecrets'),
    });
  });

  it('says nothing of a body before its signature is right, and never what the signature should be', () => {
    const wrong = refusal(() => receive(signed('not JSON', {}, 'wrong')));
    expect(wrong.status).toBe(401);
    for (const secret of SECRETS) expect(wrong.message).not.toContain(sign(secret, 'not JSON').slice(7));
  });

  it('is taken, ignored or refused as a WebhookError, whatever its body is', () => {
    const odd = fc.oneof(
      fc.constantFrom(
        A,
        ZERO,
        'refs/heads/main',
        'ml/iris',
        '../x',
        '\ud800',
        '__proto__',
        'x'.repeat(100_000),
        2 ** 60,
      ),
      fc.string({ unit: 'binary' }),
      fc.jsonValue(),
    );
    const key = fc.constantFrom(
      'ref',
      'before',
      'after',
      'deleted',
      'head_commit',
      'repository',
      'action',
      'number',
      '__proto__',
      'id',
    );
    const nested = fc.record({ id: odd, full_name: odd, extra: odd }, { requiredKeys: [] });
    // Whatever the event is, its body has most of what one of that event has.
    const told = (changes: Record<string, unknown> = {}) =>
      push({ action: 'renamed', number: 7, ...changes });
    const mutated = fc.dictionary(key, fc.oneof(odd, nested)).map((changes) => JSON.stringify(told(changes)));
    const gone = fc
      .subarray(Object.keys(told()))
      .map((keys) =>
        JSON.stringify(Object.fromEntries(Object.entries(told()).filter(([each]) => !keys.includes(each)))),
      );
    const proto = odd.map(
      (value) => `{"__proto__":${JSON.stringify(value)},${JSON.stringify(told()).slice(1)}`,
    );
    const body = fc.oneof(mutated, gone, proto, fc.json(), fc.uint8Array({ maxLength: 200 }), fc.string());
    const event = fc.oneof(fc.constantFrom('push', 'push', 'pull_request', 'repository'), fc.string());
    const kinds = new Set<string>();
    fc.assert(
      fc.property(body, event, fc.string({ maxLength: 130 }), (bytes, name, id) => {
        try {
          const delivery = receive(signed(bytes, { [EVENT_HEADER]: name, [DELIVERY_HEADER]: id }));
          kinds.add(delivery.kind);
          if (delivery.kind === 'changed') {
            expect(delivery.repository).toMatch(/^github:[^-/][^/]*\/[^-/][^/]*$/);
            expect(delivery.repository).not.toMatch(/\.\.|\/-|\p{Cc}/u);
            expect(delivery.reason).toMatch(
              /^(the repository was [a-z]+|pull request #\d+(: [a-z_]+| changed))$/,
            );
          }
          if (delivery.kind !== 'refs') return;
          for (const { repository, ref, before, after } of delivery.moves) {
            expect(repository).toMatch(/^github:[^-/][^/]*\/[^-/][^/]*$/);
            expect(`${repository} ${ref}`).not.toMatch(/\.\.|\/\/|\/-|\p{Cc}/u);
            expect(ref).toMatch(/^refs\/(heads|tags)\/./);
            for (const each of [before, after])
              expect(each === null || /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(each)).toBe(true);
          }
        } catch (error) {
          if (!(error instanceof WebhookError)) throw error;
          kinds.add('refused');
        }
      }),
      { numRuns: 500 },
    );
    expect([...kinds].toSorted()).toEqual(['changed', 'ignored', 'refs', 'refused']);
  });
});
