import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lastLines, shorten, withoutSecrets } from './cluster-fields.ts';

const SECRET = 'Hunter2andMore34';

describe('without secrets', () => {
  it.each([
    [`Error: password=${SECRET} was refused`, 'Error: password=*** was refused'],
    [`AWS_SECRET_ACCESS_KEY=${SECRET}`, 'AWS_SECRET_ACCESS_KEY=***'],
    [`HF_TOKEN = '${SECRET}', then`, 'HF_TOKEN = *** then'],
    [`password: ${SECRET}`, 'password: ***'],
    [`password="cut off ${SECRET}`, 'password=***'],
    [`401 with token hf_${SECRET}`, '401 with token hf_***'],
    [`glpat-${SECRET} and ghp_${SECRET}`, 'glpat-*** and ghp_***'],
    [`{"password": "${SECRET}", "user": "ml"}`, '{"password": "***", "user": "ml"}'],
    [`{"db_password":"a\\"${SECRET}"}`, '{"db_password":"***"}'],
    [`{\\"api_key\\": \\"${SECRET}\\"}`, '{\\"api_key\\": \\"***\\"}'],
    [`{"client_secret": "cut off ${SECRET}`, '{"client_secret": "***"'],
    [`https://ml:p@${SECRET}@host/x`, 'https://***@host/x'],
    [`s3://b/x?X-Amz-Signature=${SECRET}&v=1`, 's3://b/x?X-Amz-Signature=***&v=1'],
    [`[s3://b/x?sig=${SECRET}] is not supported`, '[s3://b/x?sig=***] is not supported'],
    [`Authorization: Bearer ${SECRET}`, 'Authorization: Bearer ***'],
  ])('%s', (text, hidden) => {
    expect(withoutSecrets(text)).toBe(hidden);
    expect(shorten(text)).toBe(hidden);
    expect(lastLines(`first\n${text}`)).toBe(`first ${hidden}`);
  });

  it.each([
    'MountVolume.SetUp failed for volume "models" : secret "hf-token" not found',
    'error looking up service account demo/iris: serviceaccount "iris" not found',
    'env[0].valueFrom.secretKeyRef.key: Required value',
    'tokenizer=meta-llama/Llama-3, max_num_batched_tokens=2048, eos_token_id=2',
    '0/4 nodes are available: 4 node(s) had untolerated taint {nvidia.com/gpu: }',
    'basic authentication is off, and the bearer token is missing',
    'hf_hub_download needs hf_transfer',
    'http://iris.demo.svc.cluster.local:8080/v1?page=2',
  ])('leaves alone: %s', (text) => {
    expect(withoutSecrets(text)).toBe(text);
  });

  const piece = fc.oneof(
    fc.constantFrom(
      ...['password', 'token', 'X-Amz-Signature', 'api_key', 'AWS_SECRET_ACCESS_KEY', 'bearer ', 'hf_'],
      ...['=', ': ', '":"', '\\"', '"', "'", '://', '@', '?', '&', ' ', ']', 'a', SECRET],
    ),
    fc.string({ maxLength: 3 }),
  );
  const text = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(''));

  it('is the same when done twice', () => {
    fc.assert(
      fc.property(text, (said) => {
        const once = withoutSecrets(said);
        expect(withoutSecrets(once)).toBe(once);
      }),
      { numRuns: 2000 },
    );
  });

  it('hides a secret whatever stands around it', () => {
    const named = fc.constantFrom(
      ...[`password=${SECRET}`, `"password": "${SECRET}"`, `https://u:${SECRET}@h`, `hf_${SECRET}`],
    );
    const words = fc.stringMatching(/^[ a-z,.()]*$/);
    fc.assert(
      fc.property(words, named, words, (before, secret, after) => {
        expect(withoutSecrets(`${before} ${secret} ${after}`)).not.toContain(SECRET);
      }),
    );
  });

  it('leaves ordinary words alone', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[A-Z]?[a-z]{1,12}[,.;:]?$/)), (words) => {
        const said = words
          .filter((word) => !/^(bearer|basic)$|passw|apikey|^eyj|^akia/i.test(word))
          .join(' ');
        expect(withoutSecrets(said)).toBe(said);
      }),
    );
  });
});
