/** Part of `npm run build`: copies the data files that code reads beside itself (log rules) from `src` to `dist`. */
import { cpSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

cpSync(join(root, 'src', 'drivers', 'engines'), join(root, 'dist', 'drivers', 'engines'), {
  recursive: true,
  filter: (source) => !/\.[a-z]+$/.test(source) || source.endsWith('.yaml'),
});
