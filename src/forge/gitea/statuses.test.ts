import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GiteaRepository, GiteaServer, TOKENS } from '../../../test/forges/gitea-server.ts';
import type { CommitStatus, StatusState } from '../../core/commit-status.ts';
import { StalledError } from '../../core/errors.ts';
import type { Forge } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const IRIS = 'gitea:ml/iris';
const ABSENT = 'dead'.repeat(10);
const SCOPE = 'write:repository';

let gitea: GiteaServer;
let model: GiteaRepository;
let forge: Forge;
let sha: string;

const forgeWith = (token: string | null): Forge =>
  createGiteaForge({
    name: 'gitea',
    url: gitea.url,
    apiUrl: `${gitea.url}/api/v1`,
    token,
    webhookSecrets: [],
    ca: null,
    now: Date.now,
  });

beforeEach(async () => {
  gitea = await GiteaServer.start();
  model = gitea.create('ml/iris');
  forge = forgeWith(TOKENS.writer);
  sha = model.commit('main', { 'README.md': '# Iris' });
});
afterEach(() => gitea.end());

const status = (changes: Partial<CommitStatus> = {}): CommitStatus => ({
  context: 'modelhook/production',
  state: 'pending',
  description: 'Queued for production',
  url: 'https://modelhook.example.com/rollouts/1',
  ...changes,
});
const write = (changes: Partial<CommitStatus> = {}, at = sha) =>
  forge.statuses.write(IRIS, at, 'refs/heads/main', status(changes));
const holds = (changes: Partial<CommitStatus> = {}, at = sha) =>
  forge.statuses.holds(IRIS, at, status(changes));
const held = () => model.statuses.get(sha) ?? [];

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

it.each<[StatusState, string]>([
  ['pending', 'pending'],
  ['running', 'pending'],
  ['success', 'success'],
  ['failed', 'failure'],
  ['superseded', 'warning'],
  ['cancelled', 'error'],
])('says %s as %s', async (state, word) => {
  await write({ state });
  expect(held()).toMatchObject([
    {
      context: 'modelhook/production',
      status: word,
      description: 'Queued for production',
      target_url: 'https://modelhook.example.com/rollouts/1',
    },
  ]);
});

it('is sent in the form in which Gitea gives it back', async () => {
  const odd = { description: `\u0000 a\n\tb \ud800 ${'🚀'.repeat(2000)} ` };
  await write(odd);
  const [{ description } = { description: '' }] = held();
  expect(description).toMatch(/^a b \ufffd 🚀+…$/u);
  expect([...description].length).toBe(1000);
  expect(await holds(odd)).toBe(true);
});

it('of a context is the newest, on whichever page it is', async () => {
  await write({ state: 'success' });
  for (let n = 0; n < 7; n += 1) await write({ context: `modelhook/other-${n}` });
  expect(await holds({ state: 'success' })).toBe(true);
  expect(await holds({ state: 'pending' })).toBe(false);
  await write({ state: 'failed' });
  expect(await holds({ state: 'success' })).toBe(false);
  expect(await holds({ state: 'failed' })).toBe(true);
  expect(await holds({ context: 'modelhook/none' })).toBe(false);
});

it('on the commit of an annotated tag is one of the commit', async () => {
  model.annotate('refs/tags/v1', sha);
  await write();
  expect(await holds()).toBe(true);
});

describe('a repository that was renamed', () => {
  it('is written to under its new path, from the first time on', async () => {
    gitea.rename(model, 'vision/flowers');
    await write();
    await write({ state: 'success' });
    expect(held().length).toBe(2);
    const writes = gitea.asked.filter(({ method }) => method === 'POST').map(({ path }) => path);
    expect(writes).toEqual(Array(2).fill(`/api/v1/repos/vision/flowers/statuses/${sha}`));
    expect(await holds({ state: 'success' })).toBe(true);
  });

  it('while we know it is looked up again: a write is not followed as a GET', async () => {
    await write();
    gitea.rename(model, 'vision/flowers');
    await write({ state: 'success' });
    gitea.rename(model, 'vision/tulips');
    await write({ state: 'failed' });
    expect(held().map((each) => each.status)).toEqual(['pending', 'success', 'failure']);
  });

  it('is looked up for every write: its name may be another repository by now', async () => {
    gitea.rename(model, 'vision/flowers');
    await write();
    const other = gitea.create('ml/iris');
    const later = other.commit('main', { 'README.md': '# Another' });
    await write({}, later);
    expect(other.statuses.get(later)?.length).toBe(1);
    expect(held().length).toBe(1);
  });

  it('and whose name another has by now is not tried again for a commit that only the first has', async () => {
    await forge.repositories.listRefs(IRIS);
    await write();
    gitea.rename(model, 'vision/flowers');
    gitea.create('ml/iris');
    expect(await stalled(write())).toContain('is in gitea:ml/iris');
  });
});

describe('what cannot be written', () => {
  it('for the commit is not there is final, though Gitea says 500, to an administrator with a reason', async () => {
    for (const token of [TOKENS.writer, TOKENS.administrator]) {
      forge = forgeWith(token);
      expect(await stalled(write({}, ABSENT))).toMatch(
        /^no commit deaddea is in gitea:ml\/iris .*; push the commit$/,
      );
    }
  });

  it('for Gitea fails is tried again, whatever it says', async () => {
    for (const message of ['', 'object does not exist', 'database is locked']) {
      gitea.writeFault = { status: 500, body: JSON.stringify({ message }) };
      expect(await transient(write())).toContain('500');
    }
  });

  it('as Gitea says is written all the same where the default branch is not there', async () => {
    model.defaultBranch = 'master';
    forge = forgeWith(TOKENS.administrator);
    await write();
    expect(held().length).toBe(1);
  });

  it('for the token lacks the scope is final, and names it', async () => {
    forge = forgeWith(TOKENS.reader);
    expect(await stalled(write())).toMatch(
      /token of forge "gitea" may not write .*; give it the scope write:repository/,
    );
  });

  it('for the token is refused may mend itself, and says to check it', async () => {
    forge = forgeWith('a-wrong-one');
    expect(await transient(write())).toContain('check the token of forge "gitea"');
    gitea.writeFault = { status: 401, body: '{"message":"token is required"}' };
    forge = forgeWith(TOKENS.writer);
    expect(await transient(write())).toContain('check the token of forge "gitea"');
  });

  it('for the commit is only in a fork of the repository is final', async () => {
    const fork = gitea.create('ada/iris');
    const forked = fork.commit('main', { 'README.md': '# Fork' });
    await forge.repositories.listRefs('gitea:ada/iris');
    expect(await stalled(write({}, forked))).toContain('is in gitea:ml/iris');
  });

  it('for the repository was hidden meanwhile may mend itself', async () => {
    for (const code of [404, 500]) {
      gitea.fault = null;
      gitea.onAsked = ({ method }) => {
        if (method === 'POST') gitea.writeFault = { status: code };
        else if (gitea.writeFault) gitea.fault = { status: 404 };
      };
      await transient(write());
      gitea.writeFault = null;
    }
  });

  it('for it is hidden from who may not is final: the repository itself is there', async () => {
    gitea.writeFault = { status: 404, body: '{"message":"not found"}' };
    expect(await stalled(write())).toContain(SCOPE);
    expect(await stalled(write())).toContain(SCOPE);
  });

  it('for the repository is archived is final', async () => {
    model.archived = true;
    for (const status of [403, 423]) {
      gitea.writeFault = { status, body: '{"message":"repo is archived"}' };
      expect(await stalled(write())).toMatch(
        /gitea:ml\/iris is archived and takes no statuses; unarchive it/,
      );
    }
  });

  it('for the repository is gone may mend itself', async () => {
    const writing = forge.statuses.write('gitea:ml/none', sha, 'refs/heads/main', status());
    expect(await transient(writing)).toContain('404');
    await write();
    gitea.rename(model, 'ml/elsewhere');
    model.path = 'nowhere/at-all';
    gitea.fault = { status: 404, body: '' };
    expect(await transient(write())).toContain('404');
  });

  it.each([409, 422, 502, 503])('for an answer of %i may mend itself', async (code) => {
    gitea.writeFault = { status: code, headers: { 'content-type': 'text/html' }, body: '<html></html>' };
    expect(await transient(write())).toContain(`${code}`);
  });

  it('for Gitea limits us is waited for', async () => {
    gitea.writeFault = { status: 429, headers: { 'retry-after': '7' } };
    await expect(write()).rejects.toMatchObject({ name: 'WaitingError', after: 7000 });
  });
});

describe('what is held', () => {
  it('cannot be told of a repository that is not there', async () => {
    expect(await transient(forge.statuses.holds('gitea:ml/none', sha, status()))).toContain('404');
  });

  it('is nothing for a commit that is not there', async () => {
    expect(await holds({}, ABSENT)).toBe(false);
  });

  it('cannot be told from an odd answer', async () => {
    for (const body of ['{}', '[{"context":1}]', '<html>']) {
      gitea.fault = { status: 200, body };
      await transient(holds());
    }
  });
});
