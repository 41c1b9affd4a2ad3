/** The headers of deliveries, signed rightly and wrongly. */
import { createHmac } from 'node:crypto';

/** By the forge's name in modelhook.yaml; `signing` is GitLab's, too. */
export const SECRETS: Readonly<Record<string, string>> = {
  github: 'secret-of-github',
  gitlab: 'secret-of-gitlab',
  gitea: 'secret-of-gitea',
  forgejo: 'secret-of-forgejo',
  plain: 'secret-of-plain',
  signing: `whsec_${Buffer.from('the signing token of gitlab, 32b').toString('base64')}`,
};
export const SIGNATURES = [
  'right',
  'missing',
  'empty',
  'of another secret',
  'of another body',
  'cut',
  'old',
] as const;
export type Signature = (typeof SIGNATURES)[number];

/** What a forge sends beside the signature. @param id the delivery's own */
export function eventHeaders(forge: string, event: string | null, id: string): Record<string, string> {
  const given = event ?? '';
  switch (forge) {
    case 'github':
      return { 'x-github-event': given, 'x-github-delivery': id, 'x-github-hook-id': '109' };
    case 'gitlab':
      return {
        'x-gitlab-event': given,
        'idempotency-key': id,
        'x-gitlab-instance': 'https://gitlab.example.com',
      };
    case 'plain':
      return { 'x-modelhook-delivery': id };
    default: {
      const names =
        forge === 'forgejo' ? ['forgejo', 'gitea', 'gogs', 'github'] : ['gitea', 'gogs', 'github'];
      const pairs = names.map((name) => ({ [`x-${name}-event`]: given, [`x-${name}-delivery`]: id }));
      return Object.assign({}, ...pairs);
    }
  }
}

const hmac = (secret: string, body: string | Buffer): string =>
  createHmac('sha256', secret).update(body).digest('hex');

/** @param twin for GitLab: the secret token instead of a signature */
export function signatureHeaders(
  forge: string,
  body: Buffer,
  signature: Signature,
  twin: boolean,
  id: string,
): Record<string, string> {
  if (signature === 'missing') return {};
  if (forge === 'gitlab') return gitlabHeaders(body, signature, twin, id);
  const secret = signature === 'of another secret' ? 'another secret' : (SECRETS[forge] ?? '');
  const signed = ['of another body', 'old'].includes(signature)
    ? Buffer.concat([body, Buffer.from(' ')])
    : body;
  const digest = hmac(secret, signed);
  const given = signature === 'empty' ? '' : signature === 'cut' ? digest.slice(0, -2) : digest;
  const prefixed = signature === 'empty' ? '' : `sha256=${given}`;
  if (forge === 'github') return { 'x-hub-signature-256': prefixed };
  if (forge === 'plain') return { 'x-modelhook-signature-256': prefixed };
  const own = forge === 'forgejo' ? { 'x-forgejo-signature': given } : {};
  return { ...own, 'x-gitea-signature': given, 'x-hub-signature-256': `sha256=${given}` };
}

function gitlabHeaders(
  body: Buffer,
  signature: Signature,
  byToken: boolean,
  id: string,
): Record<string, string> {
  const token = SECRETS['gitlab'] ?? '';
  if (byToken) {
    const given =
      { right: token, empty: '', cut: token.slice(0, -1) }[signature as 'right'] ?? `${token} `.toUpperCase();
    return { 'x-gitlab-token': given };
  }
  const key = Buffer.from((SECRETS['signing'] ?? '').slice('whsec_'.length), 'base64');
  const timestamp = String(Math.floor(Date.now() / 1000) - (signature === 'old' ? 400 : 0));
  const signed = signature === 'of another body' ? Buffer.concat([body, Buffer.from(' ')]) : body;
  const digest = createHmac('sha256', signature === 'of another secret' ? Buffer.from('another') : key)
    .update(`${id}.${timestamp}.`)
    .update(signed)
    .digest('base64');
  const given = signature === 'empty' ? '' : signature === 'cut' ? digest.slice(0, -4) : `v1,${digest}`;
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': given,
    // Whoever knows the token gets in by a signature alone where there is one.
    'x-gitlab-token': token,
  };
}
