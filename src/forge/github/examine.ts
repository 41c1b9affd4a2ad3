/** Looks whether a forge on GitHub is as it must be: its API, who we are, the repositories and their webhooks. */
import { z } from 'zod';
import { WaitingError } from '../../core/errors.ts';
import { fault, good, guarded } from '../findings.ts';
import type { Finding, RepositoryUse } from '../forge.ts';
import { examineApp, examineToken } from './examine-identity.ts';
import { examineRepository } from './examine-repository.ts';
import { createHookExaminer } from './examine-webhook.ts';
import type { GitHubAdministrationOptions } from './look.ts';

export async function examine(
  options: GitHubAdministrationOptions,
  uses: readonly RepositoryUse[],
  webhookUrl: string | null,
): Promise<Finding[]> {
  const { api } = options;
  const reached = await examineApi(options).catch((error: unknown) => {
    // Who says so is reached.
    if (error instanceof WaitingError) return fault('API', error.message, 'look again later');
    throw error;
  });
  if (reached.state === 'fault') return [reached];
  const who = api.auth === 'app' ? examineApp : examineToken;
  const findings = [reached, ...(await guarded('token', () => who(options)))];
  const hooks = webhookUrl === null || api.auth === 'none' ? null : createHookExaminer(options, webhookUrl);
  // One after the other: GitHub limits who asks much at once.
  for (const [repository, of] of Map.groupBy(uses, (each) => each.repository)) {
    const look = () =>
      examineRepository(
        options,
        repository,
        of.map(({ use }) => use),
        hooks,
      );
    findings.push(...(await guarded(repository, look)));
  }
  return findings;
}

const metaSchema = z.looseObject({ installed_version: z.string().optional() });

/** @throws Error where it cannot be reached */
async function examineApi({
  apiUrl,
  api,
  connection,
  tokens,
}: GitHubAdministrationOptions): Promise<Finding> {
  // An App is nobody here.
  const token = api.auth === 'token' ? await tokens.of('') : null;
  const { status, data, headers } = await connection.ask('GET /meta', { token });
  const meta = metaSchema.safeParse(data);
  const isGitHub = (status === 200 && meta.success) || 'x-github-request-id' in headers;
  if (!isGitHub)
    return fault(
      'API',
      `${apiUrl} answers ${status}, and not as GitHub does`,
      "check the forge's url and apiUrl in modelhook.yaml",
    );
  const version = meta.data?.installed_version;
  return good('API', `${apiUrl} is reached${version ? `, GitHub Enterprise Server ${version}` : ''}`);
}
