/** `autoglm serve`: runs the launcher in this process until everything has stopped. */
import type { Environment } from '../assembly/config/environment.ts';
import { loadConfig } from '../assembly/config/load-config.ts';
import { runLauncher } from '../assembly/launcher.ts';
import { PlatformError } from '../contract/errors.ts';
import type { CommandContext } from './command-context.ts';

export interface ServeOptions {
  config?: string;
  host?: string;
  port?: string;
  model?: string;
  stateDir?: string;
}

export async function serve(options: ServeOptions, context: CommandContext): Promise<void> {
  const { terminal, exit } = context;
  const { config } = options;
  const environment = withOptions(options, context.environment);
  const code = await runLauncher({
    configOption: config,
    environment,
    print: terminal.print,
    complain: terminal.complain,
  });
  exit(code);
}

/** Each option is a variable of the same meaning, which the node process inherits and reads again when it is restarted. */
function withOptions(
  { config, host, port, model, stateDir }: ServeOptions,
  environment: Environment,
): Environment {
  const given = { AUTOGLM_HOST: host, PORT: port, AUTOGLM_MODEL: model, AUTOGLM_STATE_DIR: stateDir };
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  const wanted = { ...environment, variables: { ...environment.variables, ...Object.fromEntries(set) } };
  if (stateDir !== undefined) {
    const { file, config: loaded } = loadConfig(config, wanted);
    if (loaded.state_dir !== undefined)
      throw new PlatformError(
        'config_invalid',
        `--state-dir: found ${stateDir}, but ${file} has \`state_dir\`, where other commands look; leave one of them out`,
      );
  }
  return wanted;
}
