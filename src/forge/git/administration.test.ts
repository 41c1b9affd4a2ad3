import { accessSync, chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GitRepository } from '../../../test/git-repository.ts';
import { StalledError } from '../../core/errors.ts';
import type { ForgeAdministration, RepositoryUse } from '../forge.ts';
import { createGitAdministration } from './administration.ts';
import { inspectHook } from './hook.ts';

// Nothing is forbidden to root, who runs tests in containers.
vi.mock('node:fs', async (load) => {
  const fs = await load<typeof import('node:fs')>();
  return { ...fs, accessSync: vi.fn(fs.accessSync) };
});

const URL = 'https://modelhook.example.com/webhooks/plain';
const SECRET = 'a secret';
const MODEL: RepositoryUse = { repository: 'plain:ml/iris', use: 'model' };

let folder: string;
let model: GitRepository;
let local: ForgeAdministration;

const administrationOf = (url: string): ForgeAdministration =>
  createGitAdministration({ url, user: 'modelhook', token: null, ssh: null, ca: null }, [
    'an old one',
    SECRET,
  ]);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelhook-administration-'));
  model = GitRepository.create(join(folder, 'ml/iris.git'));
  local = administrationOf(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const register = (changes: { url?: string; secret?: string; path?: string } = {}) => {
  const { url = URL, secret = SECRET, path = 'ml/iris' } = changes;
  return local.registerWebhook({ kind: 'repository', path }, { url, secret });
};
const hookFile = (name = 'post-receive') => join(model.dir, 'hooks', name);

describe('a webhook of plain Git', () => {
  it('is the hook of the repository, made or brought up to date', async () => {
    expect(await register({ url: 'http://old.example.com' })).toBe('created');
    expect(await register()).toBe('updated');
    expect(inspectHook({ dir: model.dir, path: 'ml/iris', url: URL }, [SECRET])).toBe('good');
  });

  it('is not made over somebody else’s hook', async () => {
    model.hook('post-receive', 'echo mine');
    await expect(register()).rejects.toThrow(/is another hook; move it away/);
  });

  it('cannot be made for a group, on another machine, or in a repository that is not there', async () => {
    const hook = { url: URL, secret: SECRET };
    await expect(local.registerWebhook({ kind: 'group', path: 'ml' }, hook)).rejects.toThrow(StalledError);
    const remote = administrationOf('ssh://git@git.example.com/srv/git');
    await expect(remote.registerWebhook({ kind: 'repository', path: 'ml/iris' }, hook)).rejects.toThrow(
      /not on this machine; run this on the Git server/,
    );
    await expect(register({ path: 'ml/none' })).rejects.toThrow(/there is no Git repository/);
  });
});

describe('an examination of plain Git on this machine', () => {
  const examine = (use = MODEL) => local.examine([use], URL);
  const faultsOf = async () => (await examine()).filter(({ state }) => state !== 'good');

  it('finds nothing wrong where the hook is as webhook create installs it', async () => {
    await register();
    expect(await examine()).toEqual([
      { about: 'plain:ml/iris', state: 'good', message: 'can be read and written', fix: null },
      { about: 'plain:ml/iris', state: 'good', message: `its hook reports to ${URL}`, fix: null },
    ]);
  });

  it.each([
    ['no hook', () => {}, 'has no post-receive hook'],
    [
      'a hook that Git does not run',
      () => register().then(() => chmodSync(hookFile(), 0o644)),
      'not executable',
    ],
    ['a hook for another address', () => register({ url: `${URL}s` }), 'another address'],
    ['a hook with a secret we do not take', () => register({ secret: 'wrong' }), 'not among webhookSecrets'],
    [
      'a hook whose secret is gone',
      () => register().then(() => rmSync(hookFile('modelhook-inner.key'))),
      'not among webhookSecrets',
    ],
  ])('finds %s', async (_, make, message) => {
    await make();
    expect(await faultsOf()).toEqual([
      {
        about: 'plain:ml/iris',
        state: 'fault',
        message: expect.stringContaining(message),
        fix: 'run modelhook webhook create plain:ml/iris',
      },
    ]);
  });

  it('finds a hook that reports for another repository, such as one that was copied', async () => {
    await register();
    cpSync(model.dir, join(folder, 'ml/wine.git'), { recursive: true });
    expect(await examine({ ...MODEL, repository: 'plain:ml/wine' })).toMatchObject([
      { state: 'good' },
      { state: 'fault', message: expect.stringContaining('another repository') },
    ]);
  });

  it('warns of somebody else’s hook, which may call ours', async () => {
    model.hook('post-receive', 'exec hooks/ours');
    expect(await faultsOf()).toMatchObject([
      { state: 'warning', message: expect.stringContaining('not of modelhook') },
    ]);
  });

  it('warns of a hook of another version', async () => {
    await register();
    writeFileSync(hookFile(), '# more\n', { flag: 'a' });
    expect(await faultsOf()).toMatchObject([
      { state: 'warning', message: expect.stringContaining('another version') },
    ]);
  });

  it('warns of pushes that nobody took', async () => {
    await register();
    writeFileSync(hookFile('modelhook.unreported'), '');
    expect(await faultsOf()).toMatchObject([
      { state: 'warning', message: expect.stringContaining('some pushes') },
    ]);
  });

  it('does not look at hooks where the address is not known, nor of GitOps repositories', async () => {
    expect(await local.examine([MODEL], null)).toMatchObject([{ state: 'good' }]);
    expect(await examine({ ...MODEL, use: 'gitops' })).toMatchObject([{ state: 'good' }]);
  });

  it('finds a repository that cannot be written', async () => {
    vi.mocked(accessSync).mockImplementation(() => {
      throw new Error('EACCES: permission denied');
    });
    const found = await local.examine(
      [
        { ...MODEL, use: 'gitops' },
        { ...MODEL, use: 'policies' },
      ],
      null,
    );
    vi.mocked(accessSync).mockReset();
    expect(found).toMatchObject([
      { state: 'fault', message: expect.stringContaining('manifests are pushed to it') },
      { state: 'good', message: 'can be read' },
    ]);
  });

  it('finds a repository that is not there, and looks at the others', async () => {
    const found = await local.examine([{ ...MODEL, repository: 'plain:ml/none' }, MODEL], null);
    expect(found).toMatchObject([
      {
        about: 'plain:ml/none',
        state: 'fault',
        message: expect.stringContaining('there is no Git repository'),
      },
      { about: 'plain:ml/iris', state: 'good' },
    ]);
  });

  it('fails where the whole folder is not there', async () => {
    await expect(administrationOf(join(folder, 'none')).examine([MODEL], URL)).rejects.toThrow(
      /there is no folder/,
    );
  });
});

describe('an examination of plain Git elsewhere', () => {
  const remote = () => administrationOf(pathToFileURL(folder).href);

  it('says what can be read, and what was not tried or looked at', async () => {
    const gitops: RepositoryUse = { ...MODEL, use: 'gitops' };
    expect(await remote().examine([MODEL, gitops, { ...MODEL, use: 'policies' }], URL)).toMatchObject([
      { state: 'good', message: 'can be read; statuses are written to its notes, which was not tried' },
      { state: 'good', message: 'can be read; manifests are pushed to it, which was not tried' },
      { state: 'good', message: 'can be read' },
      { about: 'hooks', state: 'warning' },
    ]);
    expect(await remote().examine([gitops], URL)).toHaveLength(1);
    expect(await remote().examine([MODEL], null)).toHaveLength(1);
  });

  it('finds a repository that cannot be read, in the words of git', async () => {
    const [found] = await remote().examine([{ ...MODEL, repository: 'plain:ml/none' }], null);
    expect(found).toMatchObject({
      state: 'fault',
      message: expect.stringMatching(/^cannot be read: git ls-remote: fatal/),
    });
  });
});
