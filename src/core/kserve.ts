/** What is known of the KServe that a manifest is for. */
import { StalledError } from './errors.ts';
import { KSERVE_0_20 } from './kserve-structure.ts';
import type { Structure } from './structure.ts';

export interface KServe {
  /** Such as `0.15` or `v0.20.1`; null where it is not known. */
  version: string | null;
  /** What its InferenceService may hold. */
  structure: Structure;
}

/** Where nothing is known: the structure of 0.20, and its spelling of the modes. */
export const ASSUMED_KSERVE: KServe = { version: null, structure: KSERVE_0_20 };

export interface KServeVersion {
  major: number;
  minor: number;
}

/** The last with the old names of the modes. */
export const BEFORE_NEW_NAMES: KServeVersion = { major: 0, minor: 15 };
export const ASSUMED_VERSION: KServeVersion = { major: 0, minor: 20 };

const VERSION = /^v?(\d{1,4})\.(\d{1,4})(?:[.+-].*)?$/;

/** @returns whether {@link parseKServeVersion} can read it */
export const isKServeVersion = (text: string): boolean => VERSION.test(text);

/** @throws StalledError where the text is no version */
export function parseKServeVersion(text: string): KServeVersion {
  const match = VERSION.exec(text);
  if (match !== null) return { major: Number(match[1]), minor: Number(match[2]) };
  throw new StalledError(
    `"${text}" is no version of KServe`,
    'write it as 0.20 or v0.20.1 in the configuration',
  );
}

/** How KServe runs a service. It cannot change the mode of one that exists. */
export type DeploymentMode = 'Standard' | 'Knative';

/** @returns the mode as this version spells it: 0.16 gave the modes new names */
export function modeName(mode: DeploymentMode, { major, minor }: KServeVersion): string {
  if (major > 0 || minor >= 16) return mode;
  return mode === 'Standard' ? 'RawDeployment' : 'Serverless';
}

/** @returns the mode that a name stands for, old or new; null for any other */
export function modeOfName(name: string): DeploymentMode | null {
  if (name === 'Standard' || name === 'RawDeployment') return 'Standard';
  return name === 'Knative' || name === 'Serverless' ? 'Knative' : null;
}
