/** What vLLM can quantize to. INT8 and FP8 are made while loading, from weights of 16 bits; AWQ and GPTQ want a model that was made so. */
import type { QuantizeTable } from '../quantize.ts';

export const VLLM_QUANTIZE: QuantizeTable = {
  flag: '--quantization',
  words: { INT8: 'int8_per_channel_weight_only', FP8: 'fp8' },
  own: [
    ...['awq', 'awq_marlin', 'gptq', 'gptq_marlin', 'bitsandbytes', 'compressed-tensors', 'gguf'],
    ...['experts_int8', 'fbgemm_fp8', 'fp8_per_tensor', 'fp8_per_block', 'fp8_per_channel', 'mxfp4', 'mxfp8'],
    ...['int8_per_channel_weight_only', 'nvfp4_per_token', 'modelopt', 'modelopt_fp4', 'moe_wna16'],
    ...['quark', 'torchao', 'inc', 'humming'],
  ],
};
