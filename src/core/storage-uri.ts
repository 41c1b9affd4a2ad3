/** What KServe's storage initializer takes (kserve pkg/controller/v1beta1/inferenceservice/utils, v0.20). */

const SCHEMES = ['gs', 's3', 'pvc', 'file', 'http', 'https', 'hdfs', 'webhdfs', 'hf', 'oci', 'oci+native'];

/** @returns why KServe would refuse the address, as a sentence with what to do; null where it would not */
export function storageUriFault(uri: string): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[\s\u0000-\u001f\u007f]/.test(uri))
    return `"${uri}" holds white space or a control character; remove it`;
  if (/(?:^|\/)\.\.?(?:\/|$)/.test(uri.replace(/^[^/]*:\/\//, '')))
    return `"${uri}" has the segment "." or "..", which leads elsewhere; write the whole path`;
  if (uri.includes('{{')) return `"${uri}" holds {{, which KServe would run as a Go template; remove it`;
  const scheme = schemeOf(uri);
  if (scheme === 'hf' && !/^hf:\/\/[^/:]+\/[^/:]+(?::[^/:]+)?$/.test(uri))
    return `"${uri}" does not name a model of the Hub; write hf://owner/model or hf://owner/model:revision`;
  if (scheme === 'pvc' && !/^pvc:\/\/[a-z0-9]/.test(uri))
    return `"${uri}" does not name a claim; write pvc://claim/path`;
  if (scheme !== null && uri.length <= scheme.length + '://'.length)
    return `"${uri}" names no place; write what follows ${scheme}://`;
  if (scheme === null && SCHEMES.some((known) => uri.startsWith(`${known}:`)))
    return `"${uri}" lacks the two slashes after ":"; write ${uri.slice(0, uri.indexOf(':'))}://…`;
  return null;
}

/** @returns what works only in some installations, or not as one may think; null where nothing is to be said */
export function storageUriWarning(uri: string): string | null {
  const scheme = schemeOf(uri);
  if (scheme !== null && !SCHEMES.includes(scheme))
    return `KServe takes ${scheme}:// only where a ClusterStorageContainer is made for it`;
  if (scheme === 'https' && /\.git$/.test(uri))
    return 'KServe clones the head of a Git address, whatever was tagged; the service is not reproducible';
  return null;
}

const schemeOf = (uri: string): string | null => /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(uri)?.[1] ?? null;
