/** What can be set and looked at on a plain Git server: its hooks where it is a folder of this machine, else what Git tells. */
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, StalledError } from '../../core/errors.ts';
import { parseRepositoryId } from '../../core/ref-event.ts';
import { git } from '../../git/git.ts';
import { isLocal, localRepository, locateRemote, type RemoteAccess } from '../../git/remote.ts';
import { good } from '../findings.ts';
import type { Finding, ForgeAdministration, RepositoryUse } from '../forge.ts';
import { type HookState, hasUnreported, inspectHook, installHook } from './hook.ts';

const GO_THERE = "run this on the Git server, with the server's folder as the forge's url";

/** @param secrets the forge's webhook secrets; a hook must have one of them */
export function createGitAdministration(
  access: RemoteAccess,
  secrets: readonly string[],
): ForgeAdministration {
  return {
    async registerWebhook({ kind, path }, { url, secret }) {
      if (kind === 'group')
        throw new StalledError('a plain Git server has no groups', 'name its repositories one by one');
      if (!isLocal(access)) throw new StalledError(`${path} is not on this machine`, GO_THERE);
      const dir = localRepository(access, path);
      const wasThere = existsSync(join(dir, 'hooks', 'post-receive'));
      installHook({ dir, path, url, secret });
      return wasThere ? 'updated' : 'created';
    },

    async examine(uses, webhookUrl) {
      if (!isLocal(access)) {
        const found = await Promise.all(uses.map((use) => examineRemote(access, use)));
        return [...found, ...(webhookUrl !== null && uses.some(reports) ? [HOOKS_ELSEWHERE] : [])];
      }
      if (!existsSync(access.url)) throw new Error(`there is no folder ${access.url}`);
      const found = uses.map((use) => examineLocal(access, secrets, use, webhookUrl));
      return (await Promise.all(found)).flat();
    },
  };
}

/** Nothing waits for what is pushed to a GitOps repository. */
const reports = ({ use }: RepositoryUse): boolean => use !== 'gitops';

const HOOKS_ELSEWHERE: Finding = {
  about: 'hooks',
  state: 'warning',
  message: 'the post-receive hooks are on another machine, so nobody looked at them',
  fix: GO_THERE,
};

/** What a repository is written to for, and so what was not tried: a trial would leave something behind. */
const WRITES = {
  model: 'statuses are written to its notes',
  gitops: 'manifests are pushed to it',
  policies: null,
} as const satisfies Record<RepositoryUse['use'], string | null>;

async function examineRemote(access: RemoteAccess, { repository, use }: RepositoryUse): Promise<Finding> {
  const writes = WRITES[use];
  const message = `can be read${writes === null ? '' : `; ${writes}, which was not tried`}`;
  try {
    await list(access, repository);
    return good(repository, message);
  } catch (error) {
    return unreadable(
      repository,
      error,
      `check the id, forges.<name>.url, and that its ${access.ssh ? 'key' : 'token or key'} may read there`,
    );
  }
}

async function examineLocal(
  access: RemoteAccess,
  secrets: readonly string[],
  { repository, use }: RepositoryUse,
  webhookUrl: string | null,
): Promise<Finding[]> {
  try {
    await list(access, repository);
    const path = pathOf(repository);
    const dir = localRepository(access, path);
    const hook = { dir, path, url: webhookUrl ?? '' };
    return [
      WRITES[use] === null || isWritable(dir)
        ? good(repository, WRITES[use] === null ? 'can be read' : 'can be read and written')
        : unwritable(repository, dir, WRITES[use]),
      ...(webhookUrl === null || use === 'gitops'
        ? []
        : [hookFinding(repository, inspectHook(hook, secrets), webhookUrl)]),
      ...(use !== 'gitops' && hasUnreported(dir) ? [unreported(repository)] : []),
    ];
  } catch (error) {
    return [unreadable(repository, error, 'make it there, or correct the id or forges.<name>.url')];
  }
}

const pathOf = (repository: string): string => parseRepositoryId(repository)?.path ?? repository;

/** Reads what a repository has, as everything else that is done with it begins. */
async function list(access: RemoteAccess, repository: string): Promise<void> {
  const remote = await locateRemote(access, pathOf(repository));
  await git(['ls-remote', '--', remote.url, 'HEAD'], { remote });
}

const unreadable = (about: string, error: unknown, fix: string): Finding => ({
  about,
  state: 'fault',
  message: `cannot be read: ${error instanceof StalledError ? error.reason : messageOf(error)}`,
  fix: error instanceof StalledError ? error.fix : fix,
});

function isWritable(dir: string): boolean {
  try {
    for (const part of ['objects', 'refs']) accessSync(join(dir, part), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const unwritable = (about: string, dir: string, purpose: string): Finding => ({
  about,
  state: 'fault',
  message: `cannot be written by the user who runs this: ${purpose}`,
  fix: `let the user of the controller write to ${dir}, or run this as that user`,
});

const unreported = (about: string): Finding => ({
  about,
  state: 'warning',
  message: 'its hook could not report some pushes; they are reported with the next one',
  fix: 'see that the controller is running and reached from here, then push',
});

function hookFinding(about: string, state: HookState, url: string): Finding {
  if (state === 'good') return good(about, `its hook reports to ${url}`);
  if (state === 'foreign')
    return {
      about,
      state: 'warning',
      message: 'its post-receive hook is not of modelhook',
      fix: 'see that it calls the one of modelhook, and hands its input on',
    };
  return {
    about,
    state: state === 'outdated' ? 'warning' : 'fault',
    message: HOOKS[state],
    fix: `run modelhook webhook create ${about}`,
  };
}

const HOOKS: Readonly<Record<Exclude<HookState, 'good' | 'foreign'>, string>> = {
  none: 'has no post-receive hook, so nothing reports its pushes',
  disabled: 'its post-receive hook is not executable, so Git does not run it',
  elsewhere: 'its hook reports to another address',
  misnamed: 'its hook reports for another repository',
  missigned: 'its hook signs with a secret that is not among webhookSecrets',
  outdated: 'its hook is of another version of modelhook',
};
