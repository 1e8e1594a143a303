/** `autoglm version`: the release and what it runs on. */
import { PACKAGE_ROOT, RELEASE, releaseLine } from '../assembly/config/release.ts';
import type { CommandContext, CommonOptions } from './command-context.ts';

export function version({ json }: CommonOptions, { terminal }: CommandContext): void {
  const facts = {
    release: RELEASE,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    packageRoot: PACKAGE_ROOT,
  };
  if (json) terminal.print(JSON.stringify(facts, null, 2));
  else terminal.print(releaseLine());
}
