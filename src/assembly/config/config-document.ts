/**
 * The text of a configuration file as a tree that remembers where each key and value stands, and which values came from
 * the environment. Problems are shown with `file:line:column` because of this file.
 */
import { isCollection, isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { type ConfigPath, configError, type Position } from './config-problem.ts';
import { whatItSeems } from './what-it-seems.ts';
import { yamlFault } from './yaml-faults.ts';

/** Larger files are refused: a configuration has kilobytes, and parsing must stay bounded. */
const FILE_BYTES_MAX = 1_048_576;
/** A file that is no YAML at all has thousands of faults. */
const FAULTS_MAX = 20;

export interface ConfigDocument {
  /** As messages name it. */
  readonly file: string;
  /** Plain data; undefined for an empty file. */
  readonly value: unknown;
  /** Where the value at `path` stands, or the key itself with `atKey`; else the nearest parent that was written. */
  locate(path: ConfigPath, atKey?: boolean): Position | undefined;
  /** Calls back for each string value, with its path. The result replaces the value. */
  replaceStrings(replace: (text: string, path: ConfigPath) => string): void;
}

/** Throws PlatformError `config_invalid` with every syntax error. */
export function parseConfigDocument(file: string, text: string): ConfigDocument {
  if (text.length > FILE_BYTES_MAX) {
    throw configError([`${file}: found ${text.length} characters; at most ${FILE_BYTES_MAX} are read`]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const show = (offset: number, message: string) => {
    const { line, column } = at(offset);
    return `${file}:${line}:${column}: ${message}`;
  };
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    const kind = whatItSeems(text);
    if (kind !== undefined) throw configError([notOurs(file, kind)]);
    const lines = faults
      .slice(0, FAULTS_MAX)
      .map(({ code, pos, message }) => show(pos[0], yamlFault(code, message, text.slice(pos[0]))));
    const more = faults.length - FAULTS_MAX;
    throw configError(more > 0 ? [...lines, `${file}: and ${more} more`] : lines);
  }

  if (document.contents !== null && !isMap(document.contents)) {
    const kind = whatItSeems(text);
    if (kind !== undefined) throw configError([notOurs(file, kind)]);
  }

  const positionOf = (node: unknown): Position | undefined =>
    isNode(node) && node.range != null ? at(node.range[0]) : undefined;

  return {
    file,
    get value() {
      try {
        return document.toJS({ maxAliasCount: 100 }) ?? undefined;
      } catch (error) {
        // Aliases that multiply, or that contain themselves.
        throw configError([`${file}: ${(error as Error).message}`]);
      }
    },
    locate(path, atKey = false) {
      let node: unknown = document.contents;
      let position = positionOf(node);
      for (const [index, step] of path.entries()) {
        if (!isCollection(node)) return position;
        if (isMap(node)) {
          const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
          if (pair === undefined) return position;
          node = pair.value;
          const last = index === path.length - 1;
          position = (last && atKey ? undefined : positionOf(node)) ?? positionOf(pair.key) ?? position;
        } else {
          node = node.items[Number(step)];
          position = positionOf(node) ?? position;
        }
      }
      return position;
    },
    replaceStrings(replace) {
      const visit = (node: Node | null | unknown, path: (string | number)[]): void => {
        if (isScalar(node)) {
          if (typeof node.value === 'string') node.value = replace(node.value, path);
        } else if (isMap(node)) {
          for (const { key, value } of node.items)
            visit(value, [...path, isScalar(key) ? String(key.value) : '?']);
        } else if (isCollection(node)) {
          for (const [index, item] of node.items.entries()) visit(item, [...path, index]);
        }
      };
      visit(document.contents, []);
    },
  };
}

function notOurs(file: string, kind: string): string {
  return `${file}: this seems to be ${kind}, and no configuration; would be right: YAML, such as \`gateway: { port: 8080 }\``;
}
