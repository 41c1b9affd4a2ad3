/** A manifest with its keys, strings and comments told apart, as in an editor. */
import { html } from 'hono/html';
import type { Html } from './layout.ts';

/** Indentation and list dashes, a key with its colon, the rest. */
const ENTRY = /^(\s*(?:- )*)([^\s:#"'-][^:"']*|"[^"]*"|'[^']*')(:)(\s.*)?$/;

/** @param yaml what we rendered ourselves, one entry a line; what is not understood stays plain */
export const highlightYaml = (yaml: string): Html[] =>
  yaml.split('\n').map((line, index) => html`${index === 0 ? '' : '\n'}${highlightLine(line)}`);

function highlightLine(line: string): Html | string {
  if (/^\s*#/.test(line)) return html`<span class="c">${line}</span>`;
  const [, indent = '', key, colon = '', value = ''] = ENTRY.exec(line) ?? [];
  if (key !== undefined) return html`${indent}<span class="k">${key}</span>${colon}${highlightValue(value)}`;
  const [, dashes = '', item = line] = /^(\s*(?:- )+)(.*)$/.exec(line) ?? [];
  return html`${dashes}${highlightValue(item)}`;
}

const highlightValue = (value: string): Html | string =>
  value.trim() === '' || /^\s*[[{|>]/.test(value) ? value : html`<span class="s">${value}</span>`;
