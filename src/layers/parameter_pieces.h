// What of a logical tensor a rank holds, and where.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "layers/tensor_place.h"

namespace megalith {

enum class Initial : std::uint8_t { zero, one, normal };

// How tensor ranks share a parameter: not at all (each has all of it), by rows, or by columns.
enum class Cut : std::uint8_t { none, rows, columns };

struct ParameterSpec {
  std::string name;       // "layers.3.attention.qkv.weight"
  std::int64_t rows = 1;  // logical, of the whole model; 1 for vectors
  std::int64_t columns = 0;
  std::int64_t padded_rows = 1;  // rows in memory: padding rows are zero and stay zero
  Initial initial = Initial::zero;
  double standard_deviation = 0;  // of Initial::normal
  bool decay = false;             // takes weight decay
  bool is_matrix = false;         // used by products in the compute dtype; gains and biases are used in f32
  Cut cut = Cut::none;
  std::array<std::int64_t, 3>
      members{};                    // fused parts of the cut dimension, each cut by itself; {}: one part
  std::uint64_t first_index = 0;    // logical index of the first element in the whole model
  int unit = 0;                     // layers/unit_gate.h
  bool summed_over_tensor = false;  // of Cut::none: each tensor rank has a part of the gradient's sum
  bool held_elsewhere = false;      // a copy: another stage holds the same tensor and counts it
};

// Where a logical element's neighbours lie: a box of the logical tensor, and its place in the local one.
struct ParameterPiece {
  std::int64_t row = 0, column = 0;  // logical, of the box's first element
  std::int64_t rows = 0, columns = 0;
  std::int64_t offset = 0;  // of the first element in local memory, in elements
  std::int64_t stride = 0;  // from one row to the next in local memory

  // The box of a tensor that lies in memory as the local one does.
  [[nodiscard]] Tensor of(const Tensor& local) const;
};

struct LocalShape {
  std::int64_t rows = 0;  // padded
  std::int64_t columns = 0;
};
LocalShape local_shape(const ParameterSpec& spec, TensorPlace place);
// Together the pieces of all places cover each logical element of a cut tensor exactly once. One piece, the
// whole, where nothing is cut; none where a rank has padding alone.
std::vector<ParameterPiece> pieces_of(const ParameterSpec& spec, TensorPlace place);

// What of the pieces lies in [begin, end) of local memory, with offsets from there.
std::vector<ParameterPiece> cut_to(const std::vector<ParameterPiece>& pieces, std::int64_t begin,
                                   std::int64_t end);

// Sets first_index of a whole model's list: parameters in order, row-major.
void number_elements(std::vector<ParameterSpec>& specs);

}  // namespace megalith
