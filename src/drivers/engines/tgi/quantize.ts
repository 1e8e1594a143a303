/** What text-generation-inference can quantize to. EETQ makes 8 bits of any model while loading; INT4 is NF4 of bitsandbytes. */
import type { QuantizeTable } from '../quantize.ts';

export const TGI_QUANTIZE: QuantizeTable = {
  flag: '--quantize',
  words: { INT8: 'eetq', INT4: 'bitsandbytes-nf4', FP8: 'fp8' },
  own: [
    ...['awq', 'gptq', 'marlin', 'exl2', 'eetq', 'fp8', 'compressed-tensors'],
    ...['bitsandbytes', 'bitsandbytes-nf4', 'bitsandbytes-fp4'],
  ],
};
