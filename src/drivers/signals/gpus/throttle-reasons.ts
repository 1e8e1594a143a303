/** Why the clocks of a GPU are held down: bits of NVML (nvmlClocksEventReasons, nvml.h), which nvidia-smi and DCGM print alike. */
const REASONS: readonly (readonly [bit: number, name: string, slows: boolean])[] = [
  [0x1, 'gpu_idle', false],
  [0x2, 'applications_clocks_setting', false],
  // At its power limit a GPU under full load runs as it should.
  [0x4, 'sw_power_cap', false],
  [0x8, 'hw_slowdown', true],
  [0x10, 'sync_boost', false],
  [0x20, 'sw_thermal_slowdown', true],
  [0x40, 'hw_thermal_slowdown', true],
  [0x80, 'hw_power_brake_slowdown', true],
  [0x100, 'display_clock_setting', false],
];

export interface ThrottleFacts {
  throttled: boolean;
  throttleReasons: string[];
}

export function throttleFacts(bits: number): ThrottleFacts {
  const active = REASONS.filter(([bit]) => Math.floor(bits / bit) % 2 === 1);
  return {
    throttled: active.some(([, , slows]) => slows),
    throttleReasons: active.map(([, name]) => name),
  };
}
