// How many blocks of how many threads an operation is launched with. Plain arithmetic on shapes: no plan
// changes a bit, so plans are free to follow the device.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/tensor.h"
#include "device/cuda/launch_shape.h"

namespace megalith::cuda {

// A group of sixteen threads per row.
LaunchPlan plan_rows(std::int64_t rows);
// A group per sixteen columns and block of 32 rows, several blocks of rows each where there are many.
LaunchPlan plan_norm_gradients(std::int64_t rows, std::int64_t columns, const DeviceShape& device);
// A thread per column and block of 32 rows, likewise.
LaunchPlan plan_bias_gradient(std::int64_t rows, std::int64_t columns, const DeviceShape& device);
// A thread per `vector` columns of a row.
LaunchPlan plan_stretches(std::int64_t rows, std::int64_t columns, int vector, const DeviceShape& device);
// A thread per `vector` elements.
LaunchPlan plan_elements(std::int64_t count, int vector);
// As many threads as keep the device busy, each with many elements and a slot for a block's sum.
LaunchPlan plan_sum(std::int64_t count, const DeviceShape& device);

// How many neighbouring elements a thread takes of all the tensors at once: `widest` where every row of every
// tensor starts on 16 bytes (or on its whole stretch, where that is less) and `widest` divides the columns,
// else 1.
int vector_width(int widest, std::int64_t columns, std::initializer_list<Tensor> tensors);

}  // namespace megalith::cuda
