import { describe, expect, it } from 'vitest';
import { simulatorLaunch } from './launch.ts';
import { parseSimulatorArgs, simulatorHelp, simulatorOptions } from './options.ts';

describe('parseSimulatorArgs', () => {
  it('has a default for everything', () => {
    expect(parseSimulatorArgs([])).toMatchObject({
      port: 0,
      modelName: 'simulated-model',
      faults: [],
      portFile: undefined,
    });
  });

  it('reads both spellings, the last one of each, and all faults', () => {
    const config = parseSimulatorArgs([
      '--speed=2', '--speed', '4', '--fault', '{"action":"hang"}', '--fault={"action":"slow","factor":2}',
    ]); // biome-ignore format: pairs
    expect(config.speed).toBe(4);
    expect(config.faults.map(({ action }) => action)).toEqual(['hang', 'slow']);
  });

  it('takes a flag alone, and the word after it only where that says yes or no', () => {
    const config = parseSimulatorArgs(['--enable-lora', '--model-name', 'x', '--metrics', '0']);
    expect(config).toMatchObject({ adapters: [], modelName: 'x', metrics: false });
    expect(parseSimulatorArgs(['--control-calls=false', '--metrics=1'])).toMatchObject({
      controlCalls: false,
      metrics: true,
    });
    expect(() => parseSimulatorArgs(['--metrics=maybe'])).toThrow(
      "--metrics: found 'maybe'; known: true, false",
    );
  });

  it.each([
    [['--sped', '2'], "unknown option '--sped'; known: --host, --port"],
    [['7'], "unknown option '7'"],
    [['--speed'], '--speed: a value is missing'],
    [['--port', '70000'], "--port: found '70000'; expected a whole number from 0 to 65535"],
    [['--port', '1.5'], "--port: found '1.5'"],
    [['--dialect', 'vlm'], "--dialect: found 'vlm'; known: vllm, sglang, tgi, llama-server, ollama, triton"],
    [['--faults', '/nowhere.json'], '--faults: /nowhere.json can not be read'],
    [['--fault', '{"action":"slow"}'], '--fault.factor: found nothing'],
  ])('refuses %j', (argv, message) => {
    expect(() => parseSimulatorArgs(argv)).toThrow(message);
  });

  it('explains every option', () => {
    for (const name of Object.keys(simulatorOptions)) expect(simulatorHelp()).toContain(`--${name}`);
    expect(simulatorHelp()).toMatch(/--port N .*\n/);
    expect(simulatorHelp()).toMatch(/--dialect WORD .* One of vllm, sglang, /);
    expect(simulatorHelp()).toMatch(/--enable-lora {3,}/);
  });
});

describe('simulatorLaunch', () => {
  const context = {
    replicaId: 'm/0',
    host: '127.0.0.1',
    port: 1,
    portFile: '/tmp/x/port',
    modelName: 'm',
    model: 'm',
    maxBatchSize: 32,
    maxSeqLength: 4096,
    threads: undefined,
    command: undefined,
    env: {},
  };

  it('plans a process that binds a free port and writes it to the file', async () => {
    const plan = await simulatorLaunch({ ...context, env: { AUTOGLM_SIMULATOR_ARGS: '["--speed","2"]' } });
    expect(plan.portFrom).toBe('file');
    expect(plan.command).toBe(process.execPath);
    expect(plan.args[0]).toMatch(/simulator-process\.ts$/);
    expect(parseSimulatorArgs(plan.args.slice(1))).toMatchObject({
      portFile: '/tmp/x/port',
      modelName: 'm',
      maxModelLen: 4096,
      speed: 2,
      limits: { maxNumSeqs: 32 },
    });
  });

  it('refuses options that are not a JSON array, or that the simulator does not know', async () => {
    await expect(
      simulatorLaunch({ ...context, env: { AUTOGLM_SIMULATOR_ARGS: '--speed 2' } }),
    ).rejects.toThrow('AUTOGLM_SIMULATOR_ARGS of m/0: found --speed 2; expected a JSON array');
    await expect(
      simulatorLaunch({ ...context, env: { AUTOGLM_SIMULATOR_ARGS: '["--nope","2"]' } }),
    ).rejects.toThrow("unknown option '--nope'");
  });
});
