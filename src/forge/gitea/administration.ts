/** What an administrator asks of Gitea from the command line: to set webhooks, and to look whether all is as it must be. */
import { messageOf, StalledError } from '../../core/errors.ts';
import { fault, good } from '../findings.ts';
import type { Finding, ForgeAdministration } from '../forge.ts';
import { type GiteaClient, GiteaError } from './client.ts';
import { createRepositoryExaminer } from './examine.ts';
import { registerHook } from './hooks.ts';
import { userSchema, versionSchema } from './schema.ts';

export interface GiteaAdministrationOptions {
  /** The forge's name in modelhook.yaml. */
  name: string;
  apiUrl: string;
  /** Whether one is configured. */
  hasToken: boolean;
  client: GiteaClient;
}

export function createGiteaAdministration(options: GiteaAdministrationOptions): ForgeAdministration {
  const { name, client } = options;
  return {
    registerWebhook: (scope, hook) => registerHook({ name, client }, scope, hook),

    async examine(uses, webhookUrl) {
      const api = await examineApi(options);
      if (api.state === 'fault') return [api];
      const token = await examineToken(options);
      // Every further answer would be the same.
      if (token.state === 'fault' && options.hasToken) return [api, token];
      const examineRepository = createRepositoryExaminer({ name, client, webhookUrl });
      const found: Finding[] = [api, token];
      for (const use of uses) {
        try {
          found.push(...(await examineRepository(use)));
        } catch (error) {
          const [message, fix] =
            error instanceof StalledError ? [error.reason, error.fix] : [messageOf(error), 'try again'];
          found.push(fault(use.repository, message, fix));
        }
      }
      return found;
    },
  };
}

/** @throws Error where it cannot be reached at all */
async function examineApi({ name, apiUrl, client }: GiteaAdministrationOptions): Promise<Finding> {
  try {
    const { version } = await client.read('/version', versionSchema);
    return good('API', `${productOf(version)} answers at ${apiUrl}`);
  } catch (error) {
    if (!(error instanceof GiteaError)) throw error;
    // A wrong token is refused everywhere, and some servers show nothing without one.
    if (error.status === 401 || error.status === 403)
      return good('API', `${apiUrl} answers, and does not tell its version`);
    return fault(
      'API',
      `${apiUrl} does not answer as a Gitea does: ${error.message}`,
      `correct url or apiUrl of forge "${name}" in modelhook.yaml`,
    );
  }
}

/** Forgejo names both: `11.0.1+gitea-1.22.0`. */
const productOf = (version: string): string =>
  version.includes('+gitea-') ? `Forgejo ${version.split('+')[0]}` : `Gitea ${version}`;

/** What the token may do is looked at where it is used: Gitea lists its scopes to nobody who holds it. */
async function examineToken({ name, client, hasToken }: GiteaAdministrationOptions): Promise<Finding> {
  if (!hasToken)
    return fault(
      'token',
      'there is none: only what everybody may read is read, and no status is written',
      `make one, and name it as the token of forge "${name}" in modelhook.yaml`,
    );
  try {
    const { login } = await client.read('/user', userSchema);
    return good('token', `it is one of ${login}`);
  } catch (error) {
    if (!(error instanceof GiteaError)) throw error;
    if (error.status === 403)
      return good('token', `it is taken, and may not say whose it is${error.said && ` (${error.said})`}`);
    return fault(
      'token',
      `it is refused: ${error.message}`,
      `make a new one for forge "${name}", and restart modelhook with it`,
    );
  }
}
