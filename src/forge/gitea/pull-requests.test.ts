import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import { StalledError } from '../../core/errors.ts';
import type { PullRequests } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const FLEET = 'gitea:platform/fleet';
const HEAD = 'modelhook/prod/vision/iris';
const DRAFT = { head: HEAD, base: 'main', title: 'deploy iris v1.0.0', text: 'Deploys `iris`.' };

let gitea: GiteaServer;
let fleet: GiteaRepository;
let pullRequests: PullRequests;

function as(token: string | null): PullRequests {
  const made = createGiteaForge({
    name: 'gitea',
    url: gitea.url,
    apiUrl: `${gitea.url}/api/v1`,
    token,
    webhookSecrets: [],
    ca: null,
    now: Date.now,
  }).pullRequests;
  if (!made) throw new Error('Gitea has pull requests');
  return made;
}

beforeEach(async () => {
  gitea = await GiteaServer.start();
  fleet = gitea.create('platform/fleet');
  fleet.commit('main', { 'README.md': '# Fleet' });
  fleet.branch(HEAD);
  pullRequests = as(TOKENS.writer);
});
afterEach(() => gitea.end());

async function failure(work: Promise<unknown>): Promise<Error> {
  const error = await work.then(
    () => new Error('it went well'),
    (thrown: unknown) => thrown as Error,
  );
  for (const bug of [TypeError, SyntaxError, RangeError]) expect(error).not.toBeInstanceOf(bug);
  for (const token of Object.values(TOKENS)) expect(`${error.message}${error.stack}`).not.toContain(token);
  return error;
}
/** It is over: a person must act. */
async function stalled(work: Promise<unknown>): Promise<string> {
  const error = await failure(work);
  expect(error).toBeInstanceOf(StalledError);
  return error.message;
}
async function transient(work: Promise<unknown>): Promise<string> {
  const error = await failure(work);
  expect(error).not.toBeInstanceOf(StalledError);
  return error.message;
}
const open = (changes: Partial<typeof DRAFT> = {}) => pullRequests.open(FLEET, { ...DRAFT, ...changes });
/** Everything that changes something, on request 1. */
const writes = (by = pullRequests): Record<string, () => Promise<unknown>> => ({
  open: () => by.open(FLEET, { ...DRAFT, head: 'modelhook/other' }),
  edit: () => by.edit(FLEET, 1, { title: 'x' }),
  comment: () => by.comment(FLEET, 1, 'x'),
});

describe('a listing', () => {
  it('has those of all pages, each once', async () => {
    for (let n = 0; n < 7; n += 1) {
      fleet.branch(`modelhook/${n}`);
      await open({ head: `modelhook/${n}` });
    }
    const found = await pullRequests.listOpen(FLEET, 'modelhook/');
    expect(found.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('has no request that was pushed for review: it has no branch', async () => {
    await open();
    fleet.pullRequests.openFrom(fleet, '');
    fleet.refs.set('refs/heads/', fleet.refs.get('refs/heads/main') ?? '');
    expect((await pullRequests.listOpen(FLEET, '')).map(({ number }) => number)).toEqual([1]);
  });

  it('has no request of a fork that is gone by now', async () => {
    const fork = gitea.create('mallory/fleet');
    fork.commit(HEAD, { x: 'y' });
    const number = fleet.pullRequests.openFrom(fork, HEAD);
    fleet.pullRequests.forget(fork);
    expect(await pullRequests.listOpen(FLEET, '')).toEqual([]);
    expect(await pullRequests.get(FLEET, number)).toMatchObject({ state: 'closed' });
  });
});

it('keeps the name of its branch when that is deleted, which closes it', async () => {
  const { number } = await open();
  fleet.refs.delete(`refs/heads/${HEAD}`);
  expect(await pullRequests.get(FLEET, number)).toMatchObject({
    state: 'closed',
    head: HEAD,
    mergeCommit: null,
  });
});

it('that was merged keeps the name of its branch, too', async () => {
  const { number } = await open();
  const mergeCommit = fleet.pullRequests.merge(number);
  fleet.refs.delete(`refs/heads/${HEAD}`);
  expect(await pullRequests.get(FLEET, number)).toMatchObject({ state: 'merged', head: HEAD, mergeCommit });
});

describe('what is written', () => {
  it('goes to the path a repository has today, looked up each time', async () => {
    const { number } = await open();
    gitea.rename(fleet, 'ops/flotte');
    await pullRequests.edit(FLEET, number, { title: 'renamed' });
    gitea.rename(fleet, 'ops/fleet-2');
    await pullRequests.comment(FLEET, number, 'Here.');
    expect(await pullRequests.get(FLEET, number)).toMatchObject({ title: 'renamed' });
    expect(fleet.pullRequests.commentsOf(number)).toEqual(['Here.']);
    const asked = gitea.asked.filter(({ method }) => method !== 'GET').map(({ path }) => path);
    expect(asked.slice(1)).toEqual([
      '/api/v1/repos/ops/flotte/pulls/1',
      '/api/v1/repos/ops/fleet-2/issues/1/comments',
    ]);
  });

  it('is not sent on where the name became an old one meanwhile', async () => {
    await open();
    gitea.onAsked = ({ method }) => {
      if (method !== 'GET' && fleet.path === 'platform/fleet') gitea.rename(fleet, 'ops/flotte');
    };
    expect(await transient(pullRequests.comment(FLEET, 1, 'x'))).toContain('301');
    expect(fleet.pullRequests.commentsOf(1)).toEqual([]);
  });

  it('is a title of one line, cut at 255 characters', async () => {
    const { title } = await open({ title: ` a\n\tb ${'x'.repeat(400)} \ud800` });
    expect(title).toMatch(/^a b x+…$/);
    expect(title.length).toBe(255);
    await pullRequests.edit(FLEET, 1, { title: 'y'.repeat(300) });
    expect((await pullRequests.get(FLEET, 1)).title.length).toBe(255);
  });

  it('is a text as it is, without what databases refuse, cut at 65,536 characters', async () => {
    const { text } = await open({ text: `/close\r\n  #1 @ada\u0000\ud800${'z'.repeat(70_000)}` });
    expect(text).toMatch(/^\/close\r\n {2}#1 @ada\ufffdz+…$/);
    expect(text.length).toBe(65_536);
    await pullRequests.comment(FLEET, 1, `${'z'.repeat(70_000)}`);
    expect(fleet.pullRequests.commentsOf(1)[0]?.length).toBe(65_536);
  });
});

describe('what cannot be done', () => {
  beforeEach(async () => {
    await open();
    fleet.branch('modelhook/other');
  });

  it('for there is an open one of that branch says so, and is tried again', async () => {
    expect(await transient(open())).toBe(`${FLEET} has an open pull request of ${HEAD} into main already`);
    fleet.pullRequests.close(1);
    expect(await open()).toMatchObject({ number: 2 });
  });

  it('for a branch is not there names both', async () => {
    for (const draft of [{ head: 'modelhook/none' }, { base: 'none', head: 'modelhook/other' }])
      expect(await transient(open(draft))).toMatch(/404 .* or (?:main|none) is no branch of gitea:platform/);
  });

  it.each(['open', 'edit', 'comment'])('to %s with a wrong token says to check it', async (write) => {
    expect(await transient(writes(as('a-wrong-one'))[write]?.() ?? open())).toContain(
      'check the token of forge "gitea"',
    );
    gitea.writeFault = { status: 401, body: '{"message":"token is required"}' };
    expect(await transient(writes()[write]?.() ?? open())).toContain('check the token of forge "gitea"');
  });

  it.each([
    ['open', TOKENS.reader, 'write:repository'],
    ['edit', TOKENS.reader, 'write:repository'],
    ['comment', TOKENS.reader, 'write:issue'],
    ['comment', TOKENS.silent, 'write:issue'],
  ])('to %s with %s, which lacks the scope, is final and names %s', async (write, token, scope) => {
    const message = await stalled(writes(as(token))[write]?.() ?? open());
    expect(message).toMatch(/^the token of forge "gitea" may not .* gitea:platform\/fleet \(token does not/);
    expect(message).toContain(`; give it the scope ${scope}, and its user write access`);
  });

  it('for the user may only read is final', async () => {
    expect(await stalled(as(TOKENS.visitor).edit(FLEET, 1, { title: 'x' }))).toContain('write access');
  });

  it.each(['open', 'comment'])('to %s in an archived repository is final', async (write) => {
    fleet.archived = true;
    expect(await stalled(writes()[write]?.() ?? open())).toMatch(/is archived and takes no .*; unarchive it/);
  });

  it('in an archived repository with an answer of 403, as others give it, is final', async () => {
    fleet.archived = true;
    gitea.writeFault = { status: 403 };
    expect(await stalled(writes()['edit']?.() ?? open())).toContain('is archived');
  });

  it('for pull requests are switched off is final, and says where to switch them on', async () => {
    fleet.hasPullRequests = false;
    for (const work of [
      ...Object.values(writes()),
      () => pullRequests.listOpen(FLEET, ''),
      () => pullRequests.get(FLEET, 1),
    ])
      expect(await stalled(work())).toMatch(/has pull requests switched off; switch them on in its settings/);
  });

  it('for it was merged already is told', async () => {
    fleet.pullRequests.merge(1);
    expect(await transient(pullRequests.edit(FLEET, 1, { state: 'closed' }))).toMatch(
      /#1 of gitea:platform\/fleet cannot be closed: .*already merged/,
    );
  });

  it('for there is no such number says so, where Gitea says 500', async () => {
    expect(await transient(pullRequests.comment(FLEET, 99, 'x'))).toBe(`${FLEET} has no pull request 99`);
    gitea.writeFault = { status: 500 };
    expect(await transient(pullRequests.comment(FLEET, 1, 'x'))).toMatch(/500$/);
  });

  it.each([409, 422, 500, 502])('for an answer of %i may mend itself', async (status) => {
    gitea.writeFault = { status, headers: { 'content-type': 'text/html' }, body: '<html></html>' };
    for (const work of Object.values(writes())) await transient(work());
  });

  it('for the answer is something else may mend itself', async () => {
    for (const body of ['<html>', '{}', '[]', 'null', '']) {
      gitea.fault = { status: 200, body };
      await transient(pullRequests.get(FLEET, 1));
      gitea.fault = null;
      gitea.writeFault = { status: 201, body };
      await transient(open());
    }
  });

  it('for Gitea limits us is waited for', async () => {
    gitea.writeFault = { status: 429, headers: { 'retry-after': '7' } };
    for (const work of Object.values(writes()))
      await expect(work()).rejects.toMatchObject({ name: 'WaitingError' });
  });

  it('closing one that is closed changes nothing', async () => {
    for (const _ of [1, 2]) await pullRequests.edit(FLEET, 1, { state: 'closed' });
    expect(await pullRequests.get(FLEET, 1)).toMatchObject({ state: 'closed' });
  });
});
