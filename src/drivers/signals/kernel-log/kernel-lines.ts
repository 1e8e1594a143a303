/** Lines of the kernel log: how /dev/kmsg writes them (Linux Documentation/ABI/testing/dev-kmsg), and which concern engines. Pure. */

export interface KernelLine {
  /** As `dmesg` shows it: `[  812.000000] NVRM: Xid ...`. */
  text: string;
  /** Seconds since the start of the machine; null: it does not say. */
  bootS: number | null;
}

const LINE_CHARS_MAX = 1_000;

/** What a diagnosis can use; the rest of the log is none of our business. */
const CONCERNS =
  /NVRM: |Xid \(|nvidia|oom-kill|oom_reaper|Out of memory|out of memory|Killed process|amdgpu.*(reset|fault|error)|PCIe Bus Error|AER: |mlx5_core|segfault at|trap invalid opcode|general protection|blocked for more than|hung task|Machine Check|Hardware Error|clock throttled|fabric-?manager/;

export function concernsEngines({ text }: KernelLine): boolean {
  return CONCERNS.test(text);
}

/** One record of /dev/kmsg: `priority,sequence,microseconds,flags;message` and lines of details, which are left out. */
export function parseKmsgRecord(record: string): KernelLine | undefined {
  const [, micros, message] = /^\d+,\d+,(\d+),[^;]*;([^\n]*)/.exec(record) ?? [];
  if (micros === undefined || message === undefined) return undefined;
  const bootS = Number(micros) / 1e6;
  const text = `[${bootS.toFixed(6).padStart(12)}] ${unescaped(message)}`;
  return { text: text.slice(0, LINE_CHARS_MAX), bootS };
}

/** A line as `dmesg` prints it, or of any file that somebody writes kernel lines to. */
export function parsePlainLine(line: string): KernelLine {
  const [, seconds] = /^\s*\[\s*(\d+\.\d+)\]/.exec(line) ?? [];
  return { text: line.slice(0, LINE_CHARS_MAX), bootS: seconds === undefined ? null : Number(seconds) };
}

/** Of the process that the kernel ended, or that a fault of a GPU or of memory is about; null: the line names none. */
export function pidIn(text: string): number | null {
  const [, pid] =
    /Killed process (\d+)|oom_reaper: reaped process (\d+)|[ ,]pid=(\d+)|[\w-]+\[(\d+)\]: (?:segfault|trap)|traps: [^[]+\[(\d+)\]/
      .exec(text)
      ?.filter((group) => group !== undefined) ?? [];
  return pid === undefined ? null : Number(pid);
}

/** `0000:3b:00` of `NVRM: Xid (PCI:0000:3b:00): 79, ...`, in small letters; null: the line names no device. */
export function pciIn(text: string): string | null {
  const [, address] =
    /(?:PCI:|GPU ?(?:at )?|nvidia |amdgpu )([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2})/i.exec(text) ?? [];
  return address === undefined ? null : shortPci(address);
}

/** Domain, bus and device: the driver writes the domain with eight digits and the function, the kernel with four and without. */
export function shortPci(address: string): string {
  const [domain = '', bus = '', device = ''] = address.toLowerCase().split(':');
  return `${domain.slice(-4).padStart(4, '0')}:${bus}:${device.slice(0, 2)}`;
}

/** Number of the error of an `NVRM: Xid` line. */
export function xidIn(text: string): number | null {
  const [, xid] = /NVRM: Xid \(PCI:[^)]{0,80}\): (\d{1,4}),/.exec(text) ?? [];
  return xid === undefined ? null : Number(xid);
}

/** Kernels escape what is not printable as `\x0a`. */
function unescaped(text: string): string {
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_whole, digits: string) => {
    const code = Number.parseInt(digits, 16);
    return code < 0x20 ? ' ' : String.fromCharCode(code);
  });
}
