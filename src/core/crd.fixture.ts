/** A CRD for tests. */
import type { Json } from './json.ts';

const text: Json = { type: 'string' };
const replicas: Json = { type: 'integer' };
const anything: Json = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
/** KServe's CRD with next to nothing in it: no `deploymentStrategy`, no pod fields. */
export const SMALL_CRD: Json = {
  kind: 'CustomResourceDefinition',
  spec: {
    group: 'serving.kserve.io',
    names: { kind: 'InferenceService' },
    versions: [
      {
        name: 'v1beta1',
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              apiVersion: text,
              kind: text,
              metadata: { type: 'object' },
              spec: {
                type: 'object',
                properties: {
                  predictor: {
                    type: 'object',
                    properties: {
                      annotations: anything,
                      minReplicas: replicas,
                      maxReplicas: replicas,
                      model: {
                        type: 'object',
                        properties: {
                          modelFormat: anything,
                          runtime: text,
                          storageUri: text,
                          protocolVersion: text,
                          resources: anything,
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};
