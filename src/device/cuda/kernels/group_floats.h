// Sixteen float lanes in sixteen threads: one more kernel family for the templates of device/cpu, so that a
// row's sums have the order, and the bits, of the CPU. Each thread holds one lane; what device/cpu/simd
// writes to memory as a vector, the threads write side by side.
//
// Machine says which thread this is and carries values between threads: a GPU in kernels, fibres in tests.
// All sixteen threads of a group call together.
#pragma once

#include <cstdint>

#include "core/bf16.h"
#include "core/elementary.h"
#include "core/fixed_point.h"

namespace megalith::cuda {

inline constexpr int kGroup = 16;  // threads

template <class Machine>
struct GroupInts {
  std::int32_t value;
  MEGALITH_KERNEL static GroupInts broadcast(std::int32_t x) { return {x}; }
};

template <class Machine>
struct GroupFloats {
  using Ints = GroupInts<Machine>;
  float value;

  MEGALITH_KERNEL static int lane() { return Machine::thread() % kGroup; }
  MEGALITH_KERNEL static bool first(int n) { return lane() < n; }
  MEGALITH_KERNEL static GroupFloats zero() { return {0.0f}; }
  MEGALITH_KERNEL static GroupFloats broadcast(float x) { return {x}; }
  template <class T>
  MEGALITH_KERNEL static GroupFloats load(const T* p) {
    return {to_float(p[lane()])};
  }
  template <class T>
  MEGALITH_KERNEL static GroupFloats load_first(const T* p, int n) {
    return {lane() < n ? to_float(p[lane()]) : 0.0f};
  }
  MEGALITH_KERNEL void store(float* p) const { p[lane()] = value; }
  MEGALITH_KERNEL void store(bf16* p) const { p[lane()] = to_bf16(value); }
  template <class T>
  MEGALITH_KERNEL void store_first(T* p, int n) const {
    if (lane() < n) store(p);
  }
};

template <class M>
MEGALITH_KERNEL GroupFloats<M> operator+(GroupFloats<M> a, GroupFloats<M> b) {
  return {a.value + b.value};
}
template <class M>
MEGALITH_KERNEL GroupFloats<M> operator-(GroupFloats<M> a, GroupFloats<M> b) {
  return {a.value - b.value};
}
template <class M>
MEGALITH_KERNEL GroupFloats<M> operator*(GroupFloats<M> a, GroupFloats<M> b) {
  return {a.value * b.value};
}
template <class M>
MEGALITH_KERNEL GroupFloats<M> select(bool mask, GroupFloats<M> a, GroupFloats<M> b) {
  return mask ? a : b;
}
template <class M>
MEGALITH_KERNEL GroupInts<M> bits_of(GroupFloats<M> a) {
  return {std::bit_cast<std::int32_t>(a.value)};
}
template <class M>
MEGALITH_KERNEL GroupInts<M> operator&(GroupInts<M> a, GroupInts<M> b) {
  return {a.value & b.value};
}

// Lane i with lane i + 8, then + 4, + 2, + 1. Both partners add the same two numbers, so every thread ends
// with the sum that lane 0 has on the CPU.
template <class M>
MEGALITH_KERNEL float sum_of_lanes(GroupFloats<M> a) {
  float sum = a.value;
  for (int width = kGroup / 2; width > 0; width /= 2) sum = sum + M::from_lane_xor(sum, width);
  return sum;
}
template <class M>
MEGALITH_KERNEL std::uint32_t max_of_lanes_unsigned(GroupInts<M> a) {
  auto greatest = static_cast<std::uint32_t>(a.value);
  for (int width = kGroup / 2; width > 0; width /= 2) {
    const std::uint32_t other = M::from_lane_xor(greatest, width);
    greatest = greatest > other ? greatest : other;
  }
  return greatest;
}

// Groups that hold other rows add to the same sums at the same time: integers, atomically.
template <class M>
MEGALITH_KERNEL void add_fixed_point_first(const GroupFloats<M>& a, const GroupFloats<M>& scale, int lanes,
                                           std::int64_t* sum) {
  const int lane = GroupFloats<M>::lane();
  if (lane < lanes) M::atomic_add(sum + lane, scaled_to_fixed_point(a.value * scale.value));
}
template <class M>
MEGALITH_KERNEL void add_fixed_point(const GroupFloats<M>& a, const GroupFloats<M>& scale,
                                     std::int64_t* sum) {
  add_fixed_point_first(a, scale, kGroup, sum);
}

}  // namespace megalith::cuda
