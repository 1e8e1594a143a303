/**
 * Whether a GGUF file holds what was asked for. It is not requantized: a file has the quantization that it was written with.
 * Numbers: `general.file_type` of the GGUF format (llama.h, `llama_ftype`).
 */
import { readGgufHead } from '../../drivers/engines/embedded/gguf-header.ts';

const FILE_TYPES: Record<number, string> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  7: 'Q8_0',
  8: 'Q5_0',
  9: 'Q5_1',
  10: 'Q2_K',
  11: 'Q3_K_S',
  12: 'Q3_K_M',
  13: 'Q3_K_L',
  14: 'Q4_K_S',
  15: 'Q4_K_M',
  16: 'Q5_K_S',
  17: 'Q5_K_M',
  18: 'Q6_K',
  32: 'BF16',
};

/** Common names, and which file types they stand for. */
const COMMON_NAMES: Record<string, RegExp> = {
  INT8: /^Q8_/,
  INT4: /^Q4_/,
  FP16: /^F16$/,
  FP32: /^F32$/,
};

/** What is wrong; undefined: nothing, or the file does not say. */
export function quantizationFault(path: string, quantize: string): string | undefined {
  const { fileType } = readGgufHead(path);
  const found = fileType === undefined ? undefined : FILE_TYPES[fileType];
  if (found === undefined) return undefined;
  const asked = quantize.toUpperCase();
  const fits = COMMON_NAMES[asked]?.test(found) ?? found === asked;
  if (fits) return undefined;
  const common = Object.entries(COMMON_NAMES).find(([, pattern]) => pattern.test(found))?.[0];
  const name = common === undefined ? found : `${common} (${found})`;
  return `found "${quantize}", but ${path} holds ${name}; would be right: ${common ?? found}, or a file that was written as ${asked}`;
}
