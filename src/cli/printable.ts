/** Text that others wrote, made fit to be shown: policies and model cards come from people who may mean harm. */
import { stripVTControlCharacters } from 'node:util';

/** What steers a terminal or ends a comment of YAML. Line feeds and tabs stay. */
const STEERING = /[^\P{Cc}\n\t]|[\u2028-\u202e\u2066-\u2069\ufffe\uffff]/gu;

/** @returns the text without escape sequences, and with a mark for every other control character */
export const printable = (text: string): string => stripVTControlCharacters(text).replace(STEERING, '\ufffd');

/** @returns the same, on one line */
export const oneLine = (text: string): string => printable(text).replace(/[\n\t]+/g, ' ');
