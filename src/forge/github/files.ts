/** Single files of a commit, and never more of one than was asked for. */
import { z } from 'zod';
import type { RepositoryFile } from '../forge.ts';
import { encodePath, type GitHubApi, shaped } from './api.ts';
import type { Answer } from './connection.ts';

/** A list for a folder; a symbolic link is followed by GitHub itself where it leads to a file of the repository. */
const contentsSchema = z.union([
  z.array(z.unknown()),
  z.object({
    type: z.string(),
    size: z.number().default(0),
    encoding: z.string().default('none'),
    content: z.string().default(''),
  }),
]);
const folderSchema = z.array(z.object({ name: z.string(), size: z.number().default(0) }));
const refusalSchema = z.object({ errors: z.array(z.object({ code: z.string() })) });

/** GitHub refuses the contents of larger files (docs: get repository content). */
const REFUSED_FROM = 100 * 1024 * 1024;

/** @param path of the repository @param sha of a commit, so that the answer never changes */
export async function readFile(
  api: GitHubApi,
  path: string,
  sha: string,
  file: string,
  maxBytes: number,
): Promise<RepositoryFile> {
  const route = `GET /repos/${path}/contents/${encodePath(file)}?ref=${sha}`;
  const answer = await api.ask(path, route);
  if (answer.status === 404) return { kind: 'missing', path: file };
  if (isTooLarge(answer)) return { kind: 'tooLarge', path: file, size: await sizeOf(api, path, sha, file) };
  if (answer.status !== 200) throw api.unreadable(path, answer);
  const contents = shaped(contentsSchema, answer.data);
  if (Array.isArray(contents) || contents.type !== 'file') return { kind: 'missing', path: file };
  if (contents.size > maxBytes) return { kind: 'tooLarge', path: file, size: contents.size };
  // Over 1 MB the answer has the size alone.
  const bytes =
    contents.encoding === 'base64'
      ? Buffer.from(contents.content, 'base64')
      : await readRaw(api, path, route);
  return bytes.length > maxBytes
    ? { kind: 'tooLarge', path: file, size: bytes.length }
    : { kind: 'file', path: file, bytes };
}

async function readRaw(api: GitHubApi, path: string, route: string): Promise<Uint8Array> {
  const answer = await api.ask(path, route, { accept: 'application/vnd.github.raw+json', raw: true });
  if (answer.status !== 200 || !(answer.data instanceof Uint8Array)) throw api.unreadable(path, answer);
  return answer.data;
}

function isTooLarge({ status, data }: Answer): boolean {
  const refusal = refusalSchema.safeParse(data);
  return status === 403 && refusal.success && refusal.data.errors.some(({ code }) => code === 'too_large');
}

/** The size of a file that GitHub does not hand out, from the list of its folder. */
async function sizeOf(api: GitHubApi, path: string, sha: string, file: string): Promise<number> {
  const [name, ...folders] = file.split('/').reverse();
  const folder = encodePath(folders.reverse().join('/'));
  const answer = await api.ask(path, `GET /repos/${path}/contents/${folder}?ref=${sha}`);
  if (answer.status !== 200) throw api.unreadable(path, answer);
  // Lists of folders end after 1,000 files.
  return shaped(folderSchema, answer.data).find((each) => each.name === name)?.size ?? REFUSED_FROM;
}
