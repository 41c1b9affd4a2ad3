import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeApiServer, reply, startFakeApiServer } from '../../test/cluster/fake-api-server.ts';
import { StalledError } from '../core/errors.ts';
import { type JsonObject, mergeJson } from '../core/json.ts';
import { createApi } from './api.ts';
import { createApplier } from './applier.ts';
import { serviceOf } from './cluster.fixture.ts';
import {
  ApplyConflictError,
  type ClusterApplier,
  ClusterUnavailableError,
  ObjectReplacedError,
} from './cluster.ts';

const TOKEN = 'first-token';
let server: FakeApiServer;
let applier: ClusterApplier;
let end: () => Promise<void>;

beforeEach(async () => {
  server = await startFakeApiServer();
  const api = createApi({ access: { file: server.kubeconfig }, name: 'prod', timeout: 2_000 });
  applier = createApplier(api, 'prod');
  end = api.close;
});
afterEach(async () => {
  await end();
  await server.close();
});

/** Every request is answered so. */
function answer(code: number, body: JsonObject | string): void {
  server.intercept = (_, response) => {
    if (typeof body === 'string') response.writeHead(code).end(body);
    else reply(response, code, body);
    return true;
  };
}

const status = (code: number, message: string, more: JsonObject = {}): JsonObject => ({
  kind: 'Status',
  status: 'Failure',
  code,
  message,
  ...more,
});

/** As manifests have it. */
function serviceWithoutUid(): JsonObject {
  const service = serviceOf('vision', 'iris');
  const { uid: _, ...metadata } = Object(service['metadata']);
  return { ...service, metadata };
}

/** Applies, and looks that no message gives the token away. */
async function failure(): Promise<Error> {
  const error: Error = await applier
    .apply(serviceWithoutUid(), { dryRun: true, force: false })
    .then(() => new Error('was applied'))
    .catch((thrown) => thrown);
  expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(TOKEN);
  return error;
}

describe('an apply', () => {
  it('is server-side, strict, and by field manager modelhook', async () => {
    answer(200, serviceOf('vision', 'iris'));
    await applier.apply(serviceOf('vision', 'iris'), { dryRun: true, force: false });
    await applier.apply(serviceOf('vision', 'iris'), { dryRun: false, force: true });
    const path = '/apis/serving.kserve.io/v1beta1/namespaces/vision/inferenceservices/iris';
    expect(server.requests).toEqual([
      `PATCH ${path}?fieldManager=modelhook&fieldValidation=Strict&force=false&dryRun=All`,
      `PATCH ${path}?fieldManager=modelhook&fieldValidation=Strict&force=true`,
    ]);
  });

  it.each([
    [403, 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: no'],
    [400, 'strict decoding error: unknown field "spec.x"'],
    [422, 'InferenceService.serving.kserve.io "iris" is invalid: spec.predictor: Required value'],
    [403, 'inferenceservices "iris" is forbidden: exceeded quota: models, requested: count=1'],
    [500, 'failed to create typed patch object (vision/iris): .spec.x: field not declared in schema'],
  ])('that is refused fails with the words of who refused it: %i %s', async (code, words) => {
    answer(code, status(code, words));
    const error = await failure();
    expect(error).toBeInstanceOf(StalledError);
    expect(error.message).toBe(
      `cluster prod refuses the InferenceService vision/iris: ${words}; correct what it comes from: the policy, its GPU profile or the runtime`,
    );
  });

  it('that is refused with the credentials in the words does not show them', async () => {
    answer(400, status(400, `what is Bearer ${TOKEN}`));
    expect((await failure()).message).toContain('what is Bearer ***');
  });

  it.each([403, 503])('does not show what a rule quotes of an address: %i', async (code) => {
    const address = 'https://ml:s3cret@models/x?X-Amz-Signature=s3cret';
    answer(code, status(code, `policy denied request: storageUri ${address} is not allowed`));
    expect((await failure()).message).toContain('https://***@models/x?X-Amz-Signature=*** is not allowed');
  });

  it.each([
    [
      500,
      status(500, 'failed calling webhook "x": no endpoints available'),
      'answers 500: failed calling webhook',
    ],
    [503, status(503, 'etcdserver: leader changed'), 'answers 503: etcdserver'],
    [429, status(429, 'too many'), 'answers 429: too many'],
    [401, status(401, 'Unauthorized'), 'refuses the credentials of user "ci"'],
    [403, status(403, 'User "us" cannot patch resource'), 'forbids user "us" to apply'],
    [403, '<html>log in</html>', 'answers 403, as no API server of Kubernetes does'],
    [404, '404 page not found\n', 'has no CRD inferenceservices.serving.kserve.io'],
    [
      403,
      status(403, '"iris" is forbidden: create not allowed while custom resource definition is terminating'),
      'is deleting the CRD inferenceservices.serving.kserve.io, and every InferenceService with it; install',
    ],
    [200, 'no JSON', 'answers something that is no InferenceService'],
    [200, { kind: 'Pod' }, 'answers something that is no InferenceService'],
    [
      409,
      status(409, 'please apply your changes to the latest version', { reason: 'Conflict' }),
      'cannot write the InferenceService vision/iris just now: please apply your changes to the latest version; if',
    ],
  ])('that the cluster cannot take now may be tried again: %i', async (code, body, words) => {
    answer(code, body);
    const error = await failure();
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toContain(`cluster prod ${words}`);
  });

  it.each([403, 409])('into a namespace that is being deleted says so: %i', async (code) => {
    answer(code, status(code, 'forbidden', { details: { causes: [{ reason: 'NamespaceTerminating' }] } }));
    const error = await failure();
    expect(error).toMatchObject({ name: 'ClusterUnavailableError', problem: { kind: 'namespace' } });
    expect(error.message).toContain('cluster prod is deleting namespace vision; make it again');
  });

  it('into a namespace that is not there says so, and how it is made', async () => {
    answer(404, status(404, 'namespaces "vision" not found', { details: { kind: 'namespaces' } }));
    const error = await failure();
    expect(error).toMatchObject({ name: 'ClusterUnavailableError', problem: { kind: 'namespace' } });
    expect(error.message).toMatch(
      /^cluster prod has no namespace vision; .*kubectl create namespace vision$/,
    );
  });

  it.each([
    [409, status(409, 'uid mismatch: no existing object was found', { reason: 'Conflict' })],
    [422, status(422, 'is invalid', { details: { causes: [{ field: 'metadata.uid' }] } })],
  ])('of one object does not change another that has its name: %i', async (code, body) => {
    answer(code, body);
    const service = mergeJson(serviceWithoutUid(), { metadata: { uid: 'u1' } });
    const applying = applier.apply(service, { dryRun: false, force: true });
    await expect(applying).rejects.toBeInstanceOf(ObjectReplacedError);
  });

  it('in conflict names every manager and field', async () => {
    const cause = (manager: string, field: string) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${manager}" with subresource "status" using serving.kserve.io/v1beta1 at 2026-01-01`,
      field,
    });
    const causes = [
      cause('argocd-controller', '.spec.predictor.minReplicas'),
      cause('kubectl', '.metadata.labels.a'),
    ];
    answer(409, status(409, 'Apply failed with 2 conflicts', { reason: 'Conflict', details: { causes } }));
    const error = await failure();
    expect(error).toBeInstanceOf(ApplyConflictError);
    expect(error).toMatchObject({
      fields: [
        { manager: 'argocd-controller', field: '.spec.predictor.minReplicas' },
        { manager: 'kubectl', field: '.metadata.labels.a' },
      ],
    });
  });

  it('of an object without a name is our own fault', async () => {
    await expect(applier.apply({ metadata: {} }, { dryRun: true, force: false })).rejects.toThrow(TypeError);
  });

  it('that cannot be sent may be tried again', async () => {
    server.intercept = (_, response) => {
      response.destroy();
      return true;
    };
    const error = await failure();
    expect(error).toBeInstanceOf(ClusterUnavailableError);
    expect(error.message).toContain('cluster prod cannot be reached: other side closed');
  });
});
