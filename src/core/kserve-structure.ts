/** The structures of InferenceService that modelhook brings along. */
import inferenceService from './inference-service-0.20.json' with { type: 'json' };
import type { Structure } from './structure.ts';

/** The InferenceService of KServe v0.20.0: what `npm run reduce-crd` makes of its full CRD. */
export const KSERVE_0_20 = inferenceService as Structure;
