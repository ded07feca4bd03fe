// Whether vdpbf16ps does more multiply-adds per second than fp32 fma on widened operands.
#pragma once

namespace megalith::cpu {

// About a millisecond. REQUIRES: the processor has AVX-512 BF16.
bool bf16_instruction_is_faster();

}  // namespace megalith::cpu
