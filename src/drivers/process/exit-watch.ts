/**
 * Calls back when processes end that are not our children: looks at /proc every 100 ms, with one timer for all, and only
 * while anything is watched.
 */
export interface ExitWatch {
  /** `isAlive` is asked at each look; `onGone` is called once. */
  watch(isAlive: () => boolean, onGone: () => void): Disposable;
}

interface Watched {
  isAlive: () => boolean;
  onGone: () => void;
}

const LOOK_INTERVAL_MS = 100;

export function createExitWatch(): ExitWatch {
  const watched = new Set<Watched>();
  let timer: NodeJS.Timeout | null = null;
  const drop = (entry: Watched) => {
    watched.delete(entry);
    if (watched.size > 0 || timer === null) return;
    clearInterval(timer);
    timer = null;
  };
  const look = () => {
    for (const entry of [...watched]) {
      if (!watched.has(entry) || entry.isAlive()) continue;
      drop(entry);
      entry.onGone();
    }
  };
  return {
    watch: (isAlive, onGone) => {
      const entry = { isAlive, onGone };
      watched.add(entry);
      timer ??= setInterval(look, LOOK_INTERVAL_MS);
      return { [Symbol.dispose]: () => drop(entry) };
    },
  };
}
