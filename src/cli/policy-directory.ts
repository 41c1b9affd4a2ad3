/** Policies from a directory on disk, for the commands that work without a controller. */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfigWithoutSecrets } from '../config.ts';
import { type Fault, messageOf } from '../core/errors.ts';
import { type LoadedPolicies, loadPolicies, type PolicyFile } from '../core/policy-files.ts';
import { MAX_YAML_BYTES } from '../core/yaml-source.ts';

/** The directory is not there, or cannot be read. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
}

/**
 * Loads every `.yaml` file below a directory, as the controller does. Symbolic links are not followed: what is read is what a
 * commit of the directory would hold.
 * @param configFile modelhook.yaml, to check the names of clusters and GitOps repositories against
 * @throws DirectoryError where the directory cannot be read; ConfigError where modelhook.yaml cannot be used
 */
export async function loadPolicyDirectory(
  directory: string,
  configFile: string | undefined,
): Promise<LoadedPolicies> {
  // Clusters cannot be configured, so any name of one is right.
  const known =
    configFile === undefined
      ? undefined
      : { clusters: [], gitops: Object.keys(loadConfigWithoutSecrets(configFile).gitops) };
  const { files, ignored } = await readFiles(directory);
  const loaded = loadPolicies(files, `directory ${directory}`, known);
  return { ...loaded, notes: [...ignored.map(misnamed), ...loaded.notes] };
}

/** A file that looks like a policy and is none to the controller is worth a word. */
const misnamed = (file: string): Fault => ({
  file,
  line: 1,
  column: 1,
  message: 'is not read: policies are in files whose names end in .yaml',
});

async function readFiles(directory: string): Promise<{ files: PolicyFile[]; ignored: string[] }> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile() && /\.ya?ml$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    const files: PolicyFile[] = [];
    for (const path of paths.filter((path) => path.endsWith('.yaml')))
      files.push({ path, text: await readStart(path) });
    return { files, ignored: paths.filter((path) => path.endsWith('.yml')) };
  } catch (error) {
    const message = `the policy directory ${directory} cannot be read: ${messageOf(error)}`;
    throw new DirectoryError(message, { cause: error });
  }
}

/** One byte more than is allowed is enough to be told that it is too much. */
async function readStart(path: string): Promise<string> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(MAX_YAML_BYTES + 1) });
  return buffer.toString('utf8', 0, bytesRead);
}
