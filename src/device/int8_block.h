// Of weights in int8 (device/matmul.h); kernels, which see raw pointers only, include this and not the
// operations.
#pragma once

namespace megalith {

inline constexpr int kInt8Block = 32;  // terms of one scale

}  // namespace megalith
