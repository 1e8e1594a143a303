/**
 * `npm run generate:protobuf`: writes the TypeScript code of each .proto file beside it. The two tools weigh 130 MB and are
 * needed once in a year, so they are no dependency: npx takes them, pinned, from the registry or from its cache, and no
 * other service is asked. generated-protobuf.test.ts proves that what is committed fits the .proto file.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { GENERATED_PROTOBUF, stampOf } from './generated-protobuf.ts';

const ROOT = resolve(import.meta.dirname, '..');
const TOOLS = ['@bufbuild/buf@1.75.0', '@bufbuild/protoc-gen-es@2.17.0'];

for (const { proto, code } of GENERATED_PROTOBUF) {
  const work = mkdtempSync(join(tmpdir(), 'autoglm-protobuf-'));
  try {
    const plan = {
      version: 'v2',
      inputs: [{ directory: dirname(resolve(ROOT, proto)) }],
      plugins: [{ local: 'protoc-gen-es', out: work, opt: ['target=ts', 'import_extension=none'] }],
    };
    const packages = TOOLS.flatMap((tool) => ['--package', tool]);
    execFileSync('npx', ['--yes', ...packages, '--', 'buf', 'generate', '--template', JSON.stringify(plan)], {
      cwd: work,
      stdio: 'inherit',
    });
    const text = readFileSync(join(work, code.slice(code.lastIndexOf('/') + 1)), 'utf8');
    writeFileSync(resolve(ROOT, code), `${stampOf(readFileSync(resolve(ROOT, proto), 'utf8'))}\n${text}`);
    process.stdout.write(`${code}\n`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
