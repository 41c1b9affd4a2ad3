/** Whose comments on GitHub are ours. */
import { z } from 'zod';
import { StalledError } from '../../core/errors.ts';
import { type GitHubApi, shaped } from './api.ts';
import { type Connection, wordsOf } from './connection.ts';

/** Who wrote something, as GitHub says it; null where that account is gone. */
export const authorSchema = z.object({ id: z.union([z.number(), z.bigint()]), login: z.string() }).nullish();
export type Author = z.infer<typeof authorSchema>;

const userSchema = z.object({ id: z.union([z.number(), z.bigint()]) });
const appSchema = z.object({ slug: z.string().min(1) });

/**
 * Our own user, asked for once: that of the token, or the one by which GitHub lets an App write, `<slug>[bot]`.
 * @param forge its name in modelhook.yaml
 * @returns what tells whether somebody is us; it throws StalledError where the token is nobody's
 */
export function createIdentity(forge: string, api: GitHubApi, connection: Connection) {
  let asked: Promise<(author: Author) => boolean> | undefined;

  async function askApp() {
    const answer = await connection.askAsApp('GET /app');
    if (answer.status !== 200)
      throw new Error(
        `GitHub does not accept the App of forge "${forge}"${wordsOf(answer.data)}; check app.id, app.privateKey and this machine's clock`,
      );
    const login = `${shaped(appSchema, answer.data).slug}[bot]`.toLowerCase();
    return (author: Author) => author?.login.toLowerCase() === login;
  }

  async function askUser(path: string) {
    const answer = await api.ask(path, 'GET /user');
    if (answer.status === 403)
      throw new StalledError(
        `the token of forge "${forge}" is an installation's, so GitHub does not tell whose comments are its own`,
        'use a fine-grained token, or give modelhook the App itself',
      );
    if (answer.status !== 200) throw api.unreadable(path, answer);
    const { id } = shaped(userSchema, answer.data);
    return (author: Author) => author?.id === id;
  }

  return (path: string): Promise<(author: Author) => boolean> => {
    if (asked) return asked;
    const asking = api.auth === 'app' ? askApp() : askUser(path);
    asked = asking;
    asking.catch(() => {
      asked = undefined;
    });
    return asking;
  };
}
