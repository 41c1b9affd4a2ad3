/** A model that is not pushed anywhere: a commit and its model card, for `modelhook deploy` where no forge is asked. */
import { parseRepositoryId } from '../core/ref-event.ts';
import type { Forge, RepositoryFile } from './forge.ts';

export interface LocalModel {
  repository: string;
  sha: string;
  /** The forge's number of the repository; null: not known. */
  projectId: string | null;
  /** README.md at that commit. */
  modelCard: Uint8Array;
}

const beyond = (): never => {
  throw new TypeError('nothing is pushed to a model that is on this machine alone');
};

/** @returns what stands for its forge: every ref is at the commit, and statuses go nowhere */
export function createLocalModel({ repository, sha, projectId, modelCard }: LocalModel): Forge {
  const fileAt = (path: string, maxBytes: number): RepositoryFile => {
    if (path !== 'README.md') return { kind: 'missing', path };
    const size = modelCard.byteLength;
    return size > maxBytes ? { kind: 'tooLarge', path, size } : { kind: 'file', path, bytes: modelCard };
  };
  return {
    name: parseRepositoryId(repository)?.forge ?? '',
    webhooks: { receive: beyond },
    repositories: {
      lag: 0,
      identify: async () => ({ repository, projectId }),
      readRef: async (_repository, _ref, paths, maxBytes) => ({
        sha,
        object: sha,
        files: paths.map((path) => fileAt(path, maxBytes)),
      }),
      readFiles: async (_repository, _sha, paths, maxBytes) => paths.map((path) => fileAt(path, maxBytes)),
      listRefs: async () => [],
    },
    statuses: SILENT,
    pullRequests: null,
    reviews: null,
    administration: { registerWebhook: beyond, examine: beyond },
  };
}

const SILENT: Forge['statuses'] = { write: async () => {}, holds: async () => true };

/** @returns the forge without its statuses: nobody could follow their links once the command has ended */
export const withoutStatuses = (forge: Forge): Forge => ({
  name: forge.name,
  webhooks: forge.webhooks,
  repositories: forge.repositories,
  statuses: SILENT,
  pullRequests: forge.pullRequests,
  reviews: forge.reviews,
  administration: forge.administration,
});
