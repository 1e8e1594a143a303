/**
 * The time at the beginning of a log line, in the many ways that engines write it. Milliseconds since a beginning that differs
 * from one way to the other (the epoch, the year, the start of the process), so only times of one log can be compared, and
 * only by their difference. Null where a line has none.
 */
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

type Parts = (string | undefined)[];

interface Format {
  pattern: RegExp;
  /** Indices of the groups: year, month, day, then hour, minute, second, fraction. */
  read(parts: Parts): number;
}

const DATE_AND_CLOCK = /(\d{4})[-/](\d\d)[-/](\d\d)(?:[T ]| - )(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?/;

const FORMATS: readonly Format[] = [
  // `time=2026-11-21T...`, `[2026-11-21 10:00:00 TP0]`, `2026-11-21T10:00:00.000000Z`, `{"at":"2026-...`, `[GIN] 2026/11/21 - 10:00:05`
  {
    pattern: new RegExp(`^.{0,24}?${DATE_AND_CLOCK.source}`),
    read: (p) => dateMs(p[1], p[2], p[3]) + clockMs(p.slice(4)),
  },
  // vLLM: `INFO 11-21 03:49:00`, `(EngineCore pid=1) INFO 11-21 03:49:00`
  {
    pattern: /^(?:\([^)]{1,60}\) )?[A-Z]{4,8} (\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)/,
    read: (p) => dateMs('1972', p[1], p[2]) + clockMs(p.slice(3)),
  },
  // glog: `I1121 10:00:00.000000`, also inside `[rank1]:[E1121 10:00:00.0`
  {
    pattern: /^(?:\[rank\d{1,4}\]:\[)?[IWEF](\d{1,2})(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{1,9})/,
    read: (p) => dateMs('1972', p[1], p[2]) + clockMs(p.slice(3)),
  },
  // TensorRT-LLM: `[11/21/2026-10:00:00]`
  {
    pattern: /^\[(\d\d)\/(\d\d)\/(\d{4})-(\d\d):(\d\d):(\d\d)\]/,
    read: (p) => dateMs(p[3], p[1], p[2]) + clockMs(p.slice(4)),
  },
  // llama-server: minutes.seconds.milliseconds.microseconds since its start
  {
    pattern: /^(\d{1,7})\.(\d\d)\.(\d{3})\.\d{3} [IWED] /,
    read: (p) => Number(p[1]) * MINUTE_MS + Number(p[2]) * 1000 + Number(p[3]),
  },
  // The kernel: seconds since boot
  { pattern: /^\[ {0,12}(\d{1,10}\.\d{1,6})\]/, read: (p) => Number(p[1]) * 1000 },
];

/** Remembers which way a log was written, for that is how its next line is written, too. */
export class LogTimes {
  #last = 0;

  timeMs(line: string): number | null {
    const text = line.length > 120 ? line.slice(0, 120) : line;
    if (!/\d\d/.test(text)) return null;
    for (let tried = 0; tried < FORMATS.length; tried++) {
      const at = (this.#last + tried) % FORMATS.length;
      const { pattern, read } = FORMATS[at] as Format;
      const match = pattern.exec(text);
      if (match === null) continue;
      this.#last = at;
      const ms = read(match);
      return Number.isFinite(ms) ? ms : null;
    }
    return null;
  }
}

function clockMs([hour, minute, second, fraction]: Parts): number {
  const ms = fraction === undefined ? 0 : Number(`0.${fraction}`) * 1000;
  return (Number(hour) * 60 + Number(minute)) * MINUTE_MS + Number(second) * 1000 + ms;
}

/** Days since 1970-01-01 of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
function dateMs(yearText?: string, monthText?: string, dayText?: string): number {
  const month = Number(monthText);
  const year = Number(yearText) - (month <= 2 ? 1 : 0);
  const era = Math.floor(year / 400);
  const yearOfEra = year - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + Number(dayText) - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return (era * 146_097 + dayOfEra - 719_468) * DAY_MS;
}
