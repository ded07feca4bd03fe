// The CPU device: one file per family of operations, each compiled once per kernel family and chosen at
// start.
#pragma once

#include <memory>

#include "core/thread_pool.h"
#include "device/cpu/isa.h"
#include "device/device.h"

namespace megalith::cpu {

std::unique_ptr<MatmulOps> make_matmul(ThreadPool& pool, Isa isa);
std::unique_ptr<AttentionOps> make_attention(ThreadPool& pool, Isa isa);
std::unique_ptr<ElementwiseOps> make_elementwise(ThreadPool& pool, Isa isa);
std::unique_ptr<LossOps> make_loss(ThreadPool& pool, Isa isa);
std::unique_ptr<OptimizerOps> make_optimizer(ThreadPool& pool, Isa isa);
std::unique_ptr<ShardOps> make_shards(ThreadPool& pool, Isa isa);

// REQUIRES: num_threads >= 1; isa is available here.
std::unique_ptr<Device> make_device(int num_threads, Isa isa);

}  // namespace megalith::cpu
