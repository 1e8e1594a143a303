/**
 * `quantize:` for engines that read GGUF files. Neither llama.cpp's server nor node-llama-cpp quantizes while loading: a file has
 * the quantization that it was made with. So the word chooses the file where the model is an address, and is checked against
 * the file where it is a path.
 */
import { PlatformError } from '../../contract/errors.ts';
import { readGgufHead } from './embedded/gguf-header.ts';
import { isModelAddress } from './embedded/model-address.ts';

/** Words that mean the same for every engine. INT4 is the usual four-bit mixture. */
const WORDS: Readonly<Record<string, string>> = { INT8: 'Q8_0', INT4: 'Q4_K_M', FP16: 'F16' };

/** `general.file_type` of a GGUF file: llama_ftype of llama.cpp's include/llama.h. */
const FILE_TYPES: Readonly<Record<number, string>> = {
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

/** `INT8` -> `Q8_0`, `q4_k_m` -> `Q4_K_M`; undefined for a word that no GGUF file is named by. */
export function ggufTypeOf(value: string): string | undefined {
  const word = value.toUpperCase().replaceAll('-', '_');
  if (WORDS[word] !== undefined) return WORDS[word];
  return /^(I?Q[1-8]_\w{1,4}(_\w{1,2})?|F16|BF16|F32|MXFP4(_MOE)?)$/.test(word) ? word : undefined;
}

/** What is wrong with `value` for this model, as far as that shows without reading a file. */
export function ggufQuantizeFault(model: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const wanted = ggufTypeOf(value);
  if (wanted === undefined) {
    return `found "${value}"; a GGUF file can be INT8 (Q8_0), INT4 (Q4_K_M), FP16 (F16), or any type of llama.cpp such as Q5_K_M`;
  }
  const named = isModelAddress(model) ? typeNamedBy(model) : undefined;
  if (named === undefined || named === wanted) return undefined;
  return `found "${value}", which is ${wanted}, but the address names ${named}: ${model}; leave one of the two out`;
}

/** The model that is to be loaded: an address that names no quantization gets it, everything else stays as it is. */
export function withGgufQuantize(model: string, value: string | undefined): string {
  if (value === undefined || !/^(hf|huggingface):(\/\/)?[^/:]+\/[^/:]+$/i.test(model)) return model;
  return `${model}:${ggufTypeOf(value) ?? value}`;
}

/** Throws PlatformError `model_file_invalid` when the file has another quantization. */
export function checkGgufQuantize(path: string, value: string | undefined): void {
  const wanted = value === undefined ? undefined : ggufTypeOf(value);
  if (wanted === undefined) return;
  const { fileType } = readGgufHead(path);
  const found = fileType === undefined ? undefined : (FILE_TYPES[fileType] ?? `file type ${fileType}`);
  if (found === wanted) return;
  throw new PlatformError(
    'model_file_invalid',
    `model file ${path}: found ${found ?? 'no file type in its head'}; \`quantize: ${value}\` wants ${wanted}, and engines cannot quantize while they load: give a file of that type, or make one with llama.cpp's \`llama-quantize IN.gguf OUT.gguf ${wanted}\``,
  );
}

function typeNamedBy(address: string): string | undefined {
  const name = /[.:_-](I?Q[1-8]_[0-9A-Z_]+|F16|BF16|F32)(?:\.gguf)?(?:#.*)?$/i.exec(address)?.[1];
  return name?.toUpperCase();
}
