/**
 * The plan of docs/architecture.md, executed: which folder may import from which, no circles, and no clock or chance in
 * the deciders. A folder that is not in the table fails.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');

/** Folder under src/ -> folders it may import from, beside itself. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  contract: ['base'],
  wire: ['base', 'contract'],
  decide: ['base', 'contract'],
  client: ['base', 'contract'],
  drivers: ['base', 'contract', 'wire'],
  simulator: ['base', 'contract', 'wire'],
  planes: ['base', 'contract', 'wire', 'decide'],
  assembly: ['base', 'contract', 'wire', 'decide', 'drivers', 'simulator', 'planes'],
  cli: ['base', 'contract', 'client', 'assembly'],
  library: ['base', 'contract', 'client', 'assembly'],
  'index.ts': ['contract', 'library'],
};

/** Folders whose parts are strangers to each other: a driver never imports another kind of driver, and so on. */
const PARTS_APART = ['decide', 'drivers', 'planes'];

/** Where the product begins: the commands, and the library. */
const ENTRIES = ['cli/main.ts', 'index.ts'];

/** Deciders that nothing in the product reaches, each with the reason why it stays. */
const UNUSED_DECIDERS: Record<string, string> = {};

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

interface Import {
  from: string;
  to: string;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8');
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(
    (match) => match[1] as string,
  );
  return specifiers.map((specifier) => ({ from: file, to: resolve(dirname(file), specifier) }));
}

/** Processes and threads that a file starts by the name of their entry: no import leads there. */
function startedBy(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const processes = [...text.matchAll(/processEntry\('([\w-]+)'\)/g)].map(([, name]) =>
    join(root, 'src/assembly', `${name}.ts`),
  );
  const threads = [...text.matchAll(/new URL\(`\.\/([\w-]+)\$\{extname/g)].map(([, name]) =>
    join(dirname(file), `${name}.ts`),
  );
  return [...processes, ...threads];
}

const srcFiles = sources(join(root, 'src'));
const allImports = srcFiles.flatMap(importsOf);
const place = (path: string) => relative(join(root, 'src'), path).split('/');
const show = ({ from, to }: Import) => `${relative(root, from)} -> ${relative(root, to)}`;
const isTest = (path: string) => path.endsWith('.test.ts');

describe('architecture', () => {
  it('knows every folder of src/', () => {
    const folders = readdirSync(join(root, 'src')).filter((name) =>
      statSync(join(root, 'src', name)).isDirectory(),
    );
    expect(folders.filter((name) => !(name in MAY_IMPORT))).toEqual([]);
  });

  it('lets each folder import only from the folders that the plan names', () => {
    const wrong = allImports.filter(({ from, to }) => {
      const [source] = place(from);
      const [target] = place(to);
      if (source === undefined || target === undefined || isTest(from)) return false;
      return source !== target && !MAY_IMPORT[source]?.includes(target);
    });
    expect(wrong.map(show)).toEqual([]);
  });

  it('keeps deciders, kinds of drivers and planes apart from their siblings', () => {
    const wrong = allImports.filter(({ from, to }) => {
      const [source, sourcePart] = place(from);
      const [target, targetPart] = place(to);
      return (
        source === target && PARTS_APART.includes(source ?? '') && sourcePart !== targetPart && !isTest(from)
      );
    });
    expect(wrong.map(show)).toEqual([]);
  });

  it('leaves only serve, simulate, doctor, diagnose, memory and plan of the commands to use assembly beyond its configuration', () => {
    const wrong = allImports.filter(
      ({ from, to }) =>
        place(from)[0] === 'cli' &&
        place(to)[0] === 'assembly' &&
        place(to)[1] !== 'config' &&
        !/(serve|simulate|doctor|diagnose|memory|plan)[a-z/-]*\.ts$/.test(from),
    );
    expect(wrong.map(show)).toEqual([]);
  });

  it('has no import circle', () => {
    const graph = new Map(srcFiles.map((file) => [file, importsOf(file).map(({ to }) => to)]));
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: string[]): void => {
      if (done.has(file)) return;
      const seen = path.indexOf(file);
      if (seen >= 0) {
        circles.push(
          path
            .slice(seen)
            .map((step) => relative(root, step))
            .join(' -> '),
        );
        return;
      }
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of srcFiles) visit(file, []);
    expect(circles).toEqual([]);
  });

  it('exports no value that nobody else takes', () => {
    const everywhere = ['src', 'tests', 'bench', 'scripts'].flatMap((name) => sources(join(root, name)));
    const texts = new Map(everywhere.map((file) => [file, readFileSync(file, 'utf8')]));
    const declaration = /^export (?:abstract |async )*(?:function\*?|const|class) (\w+)/gm;
    // What comes out of a .proto file comes whole.
    const written = srcFiles.filter((file) => !file.endsWith('_pb.ts'));
    const dead = written.flatMap((file) =>
      [...(texts.get(file) ?? '').matchAll(declaration)]
        .map((match) => match[1] as string)
        .filter((name) => {
          const asWord = new RegExp(`\\b${name}\\b`);
          return ![...texts].some(([other, text]) => other !== file && asWord.test(text));
        })
        .map((name) => `${relative(root, file)}: ${name}`),
    );
    expect(dead).toEqual([]);
  });

  it('uses every decider in the product: each file of src/decide is reached from a command or from the library', () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file) || isTest(file) || !srcFiles.includes(file)) return;
      reached.add(file);
      for (const { to } of importsOf(file)) visit(to);
      for (const to of startedBy(file)) visit(to);
    };
    for (const entry of ENTRIES) visit(join(root, 'src', entry));
    const unused = srcFiles
      .filter((file) => place(file)[0] === 'decide' && !isTest(file) && !reached.has(file))
      .map((file) => relative(root, file));
    expect(unused.filter((file) => !(file in UNUSED_DECIDERS))).toEqual([]);
    // What has come into use, or is gone, is no exception any more.
    expect(Object.keys(UNUSED_DECIDERS).filter((file) => !unused.includes(file))).toEqual([]);
  });

  it('keeps clocks, chance and I/O out of base and the deciders', () => {
    const wrong = srcFiles
      .filter((file) => place(file)[0] === 'decide' && !isTest(file))
      .filter((file) =>
        /Math\.random|\bDate\.|performance\.|setTimeout|\bawait\b|from 'node:/.test(
          readFileSync(file, 'utf8'),
        ),
      );
    const nodeInBase = srcFiles
      .filter((file) => place(file)[0] === 'base' && !isTest(file))
      .filter((file) => /from 'node:/.test(readFileSync(file, 'utf8')));
    expect([...wrong, ...nodeInBase].map((file) => relative(root, file))).toEqual([]);
  });

  it('has no file named for nothing: utils, helpers, common, manager, misc', () => {
    const vague = srcFiles.filter((file) =>
      /(^|[/-])(utils?|helpers?|common|managers?|misc)([.-]|$)/.test(relative(root, file)),
    );
    expect(vague.map((file) => relative(root, file))).toEqual([]);
  });

  it('has at most 25 direct runtime dependencies, all pinned exactly', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    const runtime = { ...manifest.dependencies, ...manifest.optionalDependencies };
    expect(Object.keys(runtime).length).toBeLessThanOrEqual(25);
    expect(
      Object.entries({ ...runtime, ...manifest.devDependencies }).filter(
        ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
      ),
    ).toEqual([]);
  });

  // A dependency with a `binding.gyp` has one that nobody wrote: npm builds it, wherever there is a lock, and ends without Python.
  it('installs nothing with an install script but what package.json names', () => {
    const read = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'));
    const { packages } = read('package-lock.json') as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    };
    const scripted = Object.keys(packages)
      .filter((path) => packages[path]?.hasInstallScript === true)
      .map((path) => path.replace(/^.*node_modules\//, ''));
    expect(scripted.sort()).toEqual(Object.keys(read('package.json').allowScripts).sort());
  });
});
