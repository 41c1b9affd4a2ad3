/**
 * The post-receive hook of a plain Git repository: POSIX sh with curl and openssl. It reports every ref of a push,
 * never fails a push, and holds it up for at most four seconds; what takes longer goes on in the background.
 */
import { createHash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { StalledError } from '../../core/errors.ts';
import { DELIVERY_HEADER, SIGNATURE_HEADER } from './webhooks.ts';

/** By this line an installed hook is known to be ours, and may be replaced. */
const MARK = '# modelhook post-receive hook';
/** The block size of SHA-256, to which HMAC pads its key (RFC 2104). */
const BLOCK = 64;
/** Where the hook keeps what it could not report. */
const UNREPORTED = 'modelhook.unreported';

export interface HookOptions {
  /** The bare repository, or the .git of a clone. */
  dir: string;
  /** The repository's path below the forge, as the controller knows it. */
  path: string;
  /** Where the controller takes deliveries: `<public URL>/webhooks/<forge name>`. */
  url: string;
  secret: string;
}

/**
 * Installs or renews the hook. The secret goes into two files beside it that only the repository's owner can read, in
 * the form HMAC needs it: the hook passes it to openssl on standard input, so no process ever shows it.
 * @returns the hook's path
 * @throws StalledError where somebody else's hook is in its place
 */
export function installHook({ dir, path, url, secret }: HookOptions): string {
  const hooks = join(dir, 'hooks');
  const hook = join(hooks, 'post-receive');
  if (existsSync(hook) && !readFileSync(hook, 'utf8').includes(MARK))
    throw new StalledError(
      `${hook} is another hook`,
      'move it away and run this again; then call it from a wrapper that hands its input to both',
    );
  mkdirSync(hooks, { recursive: true });
  const { uid, gid } = statSync(dir);
  const keys = hmacPads(secret);
  // Written beside and renamed: a push in this moment runs the old hook or the new one, whole.
  const install = (name: string, content: string | Uint8Array, mode: number) => {
    const file = join(hooks, name);
    // One that was left behind would keep its own mode.
    rmSync(`${file}.new`, { force: true });
    writeFileSync(`${file}.new`, content, { mode });
    if (process.getuid?.() === 0) chownSync(`${file}.new`, uid, gid);
    renameSync(`${file}.new`, file);
  };
  install('modelhook-inner.key', keys.inner, 0o600);
  install('modelhook-outer.key', keys.outer, 0o600);
  install('post-receive', script(url, path), 0o755);
  return hook;
}

/**
 * What is where the hook should be: `good`, nothing, somebody else's, one that Git does not run, one for another address or
 * repository, with another secret, or of another version of modelhook.
 */
export type HookState =
  | 'good'
  | 'none'
  | 'foreign'
  | 'disabled'
  | 'elsewhere'
  | 'misnamed'
  | 'missigned'
  | 'outdated';

/**
 * Looks at an installed hook.
 * @param secrets those that are accepted; where its keys may not be read, they are believed
 * @throws Error where the hook itself may not be read
 */
export function inspectHook(
  { dir, path, url }: Omit<HookOptions, 'secret'>,
  secrets: readonly string[],
): HookState {
  const hook = join(dir, 'hooks', 'post-receive');
  if (!existsSync(hook)) return 'none';
  const text = readFileSync(hook, 'utf8');
  if (!text.includes(MARK)) return 'foreign';
  if ((statSync(hook).mode & 0o111) === 0) return 'disabled';
  if (!text.includes(`\nurl=${quote(url)}\n`)) return 'elsewhere';
  if (!text.includes(`\nrepository=${quote(JSON.stringify(path).slice(1, -1))}\n`)) return 'misnamed';
  if (!hasSecretOf(dir, secrets)) return 'missigned';
  return text === script(url, path) ? 'good' : 'outdated';
}

function hasSecretOf(dir: string, secrets: readonly string[]): boolean {
  try {
    const inner = readFileSync(join(dir, 'hooks', 'modelhook-inner.key'));
    return secrets.some((secret) => inner.equals(hmacPads(secret).inner));
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EACCES';
  }
}

/** @returns whether refs wait to be reported with the next push, since nobody took them */
export const hasUnreported = (dir: string): boolean => existsSync(join(dir, 'hooks', UNREPORTED));

/** HMAC(K, m) = H((K ⊕ opad) ‖ H((K ⊕ ipad) ‖ m)) (RFC 2104): with both pads at hand, a hash of a stream is enough. */
function hmacPads(secret: string): { inner: Uint8Array; outer: Uint8Array } {
  let key = Buffer.from(secret);
  if (key.length > BLOCK) key = createHash('sha256').update(key).digest();
  const padded = Buffer.concat([key, Buffer.alloc(BLOCK - key.length)]);
  return { inner: padded.map((byte) => byte ^ 0x36), outer: padded.map((byte) => byte ^ 0x5c) };
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** JSON inside single quotes of a shell script. */
const script = (url: string, path: string): string => `#!/bin/sh
${MARK}; made by \`modelhook webhook create\`, which also renews it.
# Tells the controller of every branch and tag of a push. It never fails a push.
url=${quote(url)}
repository=${quote(JSON.stringify(path).slice(1, -1))}

hooks=$(cd "$(dirname "$0")" && pwd) || exit 0
unreported=$hooks/${UNREPORTED}
pushed=$(cat)
for tool in curl openssl; do
  command -v "$tool" >/dev/null 2>&1 && continue
  echo "modelhook: $tool is not installed here, so the push is not reported; the refs of repositories it knows are listed by the controller"
  exit 0
done
log=$(mktemp "\${TMPDIR:-/tmp}/modelhook.XXXXXX") || exit 0

sha256() { openssl dgst -sha256 -binary; }
hex() { od -An -v -tx1 | tr -d ' \\n'; }

# The commit a tag points to; the object itself where it is no tag, or gone.
commit() { git rev-parse --verify --quiet "$1^{commit}" 2>/dev/null || printf '%s' "$1"; }

# JSON knows two characters that need a backslash; Git allows no control characters in a ref.
escape() { printf '%s' "$1" | sed 's/[\\\\"]/\\\\&/g'; }

report() {
  body="{\\"repository\\":\\"$repository\\",\\"before\\":\\"$(commit "$1")\\",\\"after\\":\\"$(commit "$2")\\",\\"ref\\":\\"$(escape "$3")\\"}"
  signature=$({
    cat "$hooks/modelhook-outer.key"
    { cat "$hooks/modelhook-inner.key"; printf '%s' "$body"; } | sha256
  } | sha256 | hex)
  delivery=$(openssl rand -hex 16)
  pause=1
  while :; do
    answer=$(printf '%s' "$body" | curl --silent --show-error --output /dev/null --write-out '%{http_code}' \\
      --connect-timeout 3 --max-time 20 \\
      --header 'Content-Type: application/json' \\
      --header "${SIGNATURE_HEADER}: sha256=$signature" \\
      --header "${DELIVERY_HEADER}: $delivery" \\
      --data-binary @- "$url")
    case $answer in
      2??) echo "modelhook: reported $3"; return ;;
      000 | 429 | 5??) ;;
      401) echo "modelhook: could not report $3: $url answered 401; run 'modelhook webhook create' here again"; return ;;
      *) echo "modelhook: could not report $3: $url answered $answer"; return ;;
    esac
    # The controller may be starting: about a minute is waited for it, and no more for the other refs of the push.
    [ "$pause" -gt 32 ] || [ -n "$silent" ] && break
    sleep "$pause"
    pause=$((pause * 2))
  done
  silent=yes
  if printf '%s %s %s\\n' "$1" "$2" "$3" >>"$unreported"; then
    echo "modelhook: could not report $3 to $url; it is reported with the next push"
  else
    echo "modelhook: could not report $3 to $url, nor keep it for the next push; push it once more"
  fi
}

# The refs of this push, after those of earlier ones that nobody took.
report_all() {
  silent=
  kept=
  if mv "$unreported" "$unreported.$$" 2>/dev/null; then
    kept=$(cat "$unreported.$$")
    rm -f "$unreported.$$"
  fi
  printf '%s\\n%s\\n' "$kept" "$pushed" | while read -r before after ref; do
    case $ref in refs/heads/* | refs/tags/*) report "$before" "$after" "$ref" ;; esac
  done
}

# Nothing in the background holds git's output: the push ends when this script does.
(
  trap '' HUP INT
  report_all >"$log" 2>&1
) </dev/null >/dev/null 2>&1 &
reporter=$!
trap 'cat "$log"; rm -f "$log"; echo "modelhook: reporting goes on in the background"; exit 0' ALRM
(
  trap 'kill "$!" 2>/dev/null; exit' TERM
  sleep 4 &
  wait "$!" && kill -ALRM $$
) </dev/null >/dev/null 2>&1 &
watch=$!
wait "$reporter"
kill "$watch" 2>/dev/null
wait "$watch" 2>/dev/null
cat "$log"
rm -f "$log"
exit 0
`;
