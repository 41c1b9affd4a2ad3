/** What is really there of a deployed target, whatever the policies in force make of it. */
import type { Deployed } from './deployed.ts';
import { StalledError } from './errors.ts';
import { parseManifest } from './inference-service.ts';
import type { JsonObject } from './json.ts';
import type { PlanSummary } from './rollout.ts';

/** Where a manifest is delivered to, and how. */
export type Delivery = Pick<PlanSummary, 'gitops' | 'path' | 'via'>;

/** A manifest as text, and the object it stands for; that is null where it cannot be read. */
export interface Manifest {
  text: string;
  object: JsonObject | null;
}

/** Of what is there, or would be: null where there is none, or it is not known. */
export interface Present {
  manifest: Manifest | null;
  delivery: Delivery | null;
}

export const NOTHING: Present = { manifest: null, delivery: null };

/** @param inForce what the policies in force make of it, which stands for what is not known */
export function presentOf({ manifest, delivery }: Deployed, inForce: Present): Present {
  if (manifest === null) return NOTHING;
  return {
    manifest: manifest === undefined ? inForce.manifest : readManifest(manifest),
    delivery: delivery ? deliveryAt(delivery, inForce.delivery) : inForce.delivery,
  };
}

/** By which way a file got there is not known, and makes no difference to what is there. */
const deliveryAt = (
  { gitops, path }: Pick<Delivery, 'gitops' | 'path'>,
  inForce: Delivery | null,
): Delivery => ({ gitops, path, via: inForce?.via ?? 'push' });

function readManifest(text: string): Manifest {
  try {
    return { text, object: parseManifest(text) };
  } catch (error) {
    if (error instanceof StalledError) return { text, object: null };
    throw error;
  }
}

/** @returns whether nothing would be done to put there what is to be there */
export const isThere = (there: Present, wanted: Present): boolean =>
  there.manifest !== null &&
  there.manifest.text === wanted.manifest?.text &&
  isSamePlace(there.delivery, wanted.delivery);

/** @returns whether two deliveries go to the same file or cluster in the same way */
export const isSamePlace = (one: Delivery | null, other: Delivery | null): boolean =>
  one?.gitops === other?.gitops && one?.path === other?.path && one?.via === other?.via;
