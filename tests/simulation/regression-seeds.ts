/**
 * Seeds that once showed something wrong, with what it was. They run first, and for ever: the same seed means another story
 * when the simulation changes, but it has earned its place.
 */
export const REGRESSION_SEEDS: readonly { seed: number; story: string }[] = [
  {
    seed: 36,
    story: 'an adopted replica that was still starting got a start time of its own, ten minutes long',
  },
  { seed: 724, story: 'a restart command kept a replica alive that was no longer in the configuration' },
  { seed: 617, story: 'a restart was counted when it was decided, not when it happened' },
  { seed: 3648, story: 'generations began at 1 again after a removal, and a late exit hit the successor' },
  { seed: 19439, story: 'a rolling restart replaced a start that was just being written down' },
  { seed: 36028, story: 'a watched replica kept the mark of its old address' },
  { seed: 2866, story: 'a replica that was not ready became ready by being put back into rotation' },
  { seed: 124936, story: 'a restart command undid the restart for another configuration' },
];
