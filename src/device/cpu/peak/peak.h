// The most multiply-adds per second this machine does with operands in registers: the ceiling that shares of
// peak are measured against. Widened bf16 products run at the fp32 rate, vdpbf16ps at its own.
#pragma once

#include "core/tensor.h"
#include "core/thread_pool.h"
#include "device/cpu/isa.h"

namespace megalith::cpu {

// FLOP/s of all threads of the pool together, a multiply-add counting two: the best of a few rounds of some 5
// ms each.
double measure_peak_flops(ThreadPool& pool, Isa isa, DType dtype);

// Bytes per second, read and written ones both counted, of copying arrays far larger than any cache with
// ordinary stores, as STREAM counts it (McCalpin, www.cs.virginia.edu/stream): the best of a few rounds. What
// the processor reads to own the lines it writes is not counted, so kernels that only read may exceed it.
double measure_copy_bandwidth(ThreadPool& pool, Isa isa);

}  // namespace megalith::cpu
