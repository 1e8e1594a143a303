/** What SGLang can quantize to. FP8 is made while loading; INT8 wants a model in compressed-tensors w8a8, AWQ and GPTQ one of theirs. */
import type { QuantizeTable } from '../quantize.ts';

export const SGLANG_QUANTIZE: QuantizeTable = {
  flag: '--quantization',
  words: { INT8: 'w8a8_int8', FP8: 'fp8' },
  own: [
    ...['awq', 'awq_marlin', 'gptq', 'gptq_marlin', 'bitsandbytes', 'gguf', 'compressed-tensors', 'marlin'],
    ...['w8a8_int8', 'w8a8_fp8', 'w4afp8', 'mxfp4', 'mxfp8', 'moe_wna16', 'modelopt', 'modelopt_fp8'],
    ...['modelopt_fp4', 'petit_nvfp4', 'auto-round', 'auto-round-int8', 'quark', 'humming'],
  ],
};
