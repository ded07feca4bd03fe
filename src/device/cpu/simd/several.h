// Several groups of sixteen lanes that pass through one function together. Elementary functions are long
// chains of dependent instructions; interleaved ones keep the units busy, and each lane computes what it
// computes alone.
#pragma once

#include <cstdint>

#include "core/elementary.h"

namespace megalith::cpu {

template <class F, int n>
struct SeveralInts {
  typename F::Ints part[n];
  static SeveralInts broadcast(std::int32_t x) {
    SeveralInts r;
    for (auto& p : r.part) p = F::Ints::broadcast(x);
    return r;
  }
};

template <class F, int n>
struct SeveralMasks {
  typename F::Mask part[n];
};

template <class F, int n>
struct Several {
  using Ints = SeveralInts<F, n>;
  using Mask = SeveralMasks<F, n>;
  static constexpr int kGroups = n;
  F part[n];

  static Several broadcast(float x) {
    Several r;
    for (auto& p : r.part) p = F::broadcast(x);
    return r;
  }
  static Several zero() { return broadcast(0.0f); }
  template <class T>
  static Several load(const T* from) {
    Several r;
    for (int k = 0; k < n; ++k) r.part[k] = F::load(from + 16 * k);
    return r;
  }
  // REQUIRES: results of arithmetic, so no denormals.
  template <class T>
  void store(T* to) const {
    if constexpr (n % 2 == 0 && requires { F::store_results(part[0], part[1], to); }) {
      for (int k = 0; k < n; k += 2) F::store_results(part[k], part[k + 1], to + 16 * k);
    } else {
      for (int k = 0; k < n; ++k) part[k].store(to + 16 * k);
    }
  }
};

// One function of F for every group.
template <class R, int n, class Function>
inline __attribute__((always_inline)) R for_groups(Function function) {
  R r;
#pragma GCC unroll 8
  for (int k = 0; k < n; ++k) r.part[k] = function(k);
  return r;
}

template <class F, int n>
Several<F, n> operator+(const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<Several<F, n>, n>([&](int k) { return a.part[k] + b.part[k]; });
}
template <class F, int n>
Several<F, n> operator-(const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<Several<F, n>, n>([&](int k) { return a.part[k] - b.part[k]; });
}
template <class F, int n>
Several<F, n> operator*(const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<Several<F, n>, n>([&](int k) { return a.part[k] * b.part[k]; });
}
template <class F, int n>
Several<F, n> operator/(const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<Several<F, n>, n>([&](int k) { return a.part[k] / b.part[k]; });
}
template <class F, int n>
Several<F, n> fma(const Several<F, n>& a, const Several<F, n>& b, const Several<F, n>& c) {
  return for_groups<Several<F, n>, n>([&](int k) { return fma(a.part[k], b.part[k], c.part[k]); });
}
template <class F, int n>
Several<F, n> max(const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<Several<F, n>, n>([&](int k) { return max(a.part[k], b.part[k]); });
}
template <class F, int n>
Several<F, n> min(const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<Several<F, n>, n>([&](int k) { return min(a.part[k], b.part[k]); });
}
template <class F, int n>
SeveralMasks<F, n> less(const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<SeveralMasks<F, n>, n>([&](int k) { return less(a.part[k], b.part[k]); });
}
template <class F, int n>
SeveralMasks<F, n> is_nan(const Several<F, n>& a) {
  return for_groups<SeveralMasks<F, n>, n>([&](int k) { return is_nan(a.part[k]); });
}
template <class F, int n>
Several<F, n> select(const SeveralMasks<F, n>& mask, const Several<F, n>& a, const Several<F, n>& b) {
  return for_groups<Several<F, n>, n>([&](int k) { return select(mask.part[k], a.part[k], b.part[k]); });
}
template <class F, int n>
SeveralInts<F, n> bits_of(const Several<F, n>& a) {
  return for_groups<SeveralInts<F, n>, n>([&](int k) { return bits_of(a.part[k]); });
}
template <class F, int n>
SeveralInts<F, n> to_nearest_ints(const Several<F, n>& a) {
  return for_groups<SeveralInts<F, n>, n>([&](int k) { return to_nearest_ints(a.part[k]); });
}
template <class F, int n>
Several<F, n> from_bits(const SeveralInts<F, n>& a) {
  return for_groups<Several<F, n>, n>([&](int k) { return from_bits(a.part[k]); });
}
template <class F, int n>
Several<F, n> to_floats(const SeveralInts<F, n>& a) {
  return for_groups<Several<F, n>, n>([&](int k) { return to_floats(a.part[k]); });
}
template <class F, int n>
requires ScalesByPowers<F> Several<F, n> round_to_integers(const Several<F, n>& a) {
  return for_groups<Several<F, n>, n>([&](int k) { return round_to_integers(a.part[k]); });
}
template <class F, int n>
requires ScalesByPowers<F> Several<F, n> scale_by_powers(const Several<F, n>& a,
                                                         const Several<F, n>& powers) {
  return for_groups<Several<F, n>, n>([&](int k) { return scale_by_powers(a.part[k], powers.part[k]); });
}
template <class F, int n>
SeveralInts<F, n> operator+(const SeveralInts<F, n>& a, const SeveralInts<F, n>& b) {
  return for_groups<SeveralInts<F, n>, n>([&](int k) { return a.part[k] + b.part[k]; });
}
template <class F, int n>
SeveralInts<F, n> operator&(const SeveralInts<F, n>& a, const SeveralInts<F, n>& b) {
  return for_groups<SeveralInts<F, n>, n>([&](int k) { return a.part[k] & b.part[k]; });
}
template <class F, int n>
SeveralInts<F, n> operator|(const SeveralInts<F, n>& a, const SeveralInts<F, n>& b) {
  return for_groups<SeveralInts<F, n>, n>([&](int k) { return a.part[k] | b.part[k]; });
}
template <int bits, class F, int n>
SeveralInts<F, n> shift_left(const SeveralInts<F, n>& a) {
  return for_groups<SeveralInts<F, n>, n>([&](int k) { return shift_left<bits>(a.part[k]); });
}

// Where a body of for_interleaved stands: all lanes of L, or the first few of one group.
template <class L>
struct WholeLanes {
  using Lanes = L;
  template <class T>
  L load(const T* from) const {
    return L::load(from);
  }
  template <class T>
  void store(L value, T* to) const {
    value.store(to);
  }
};
template <class F>
struct FirstLanes {
  using Lanes = F;
  int lanes;
  template <class T>
  F load(const T* from) const {
    return F::load_first(from, lanes);
  }
  template <class T>
  void store(F value, T* to) const {
    value.store_first(to, lanes);
  }
};

// Calls body(offset, place) for as many groups at once as the family likes, then for single ones, then for
// the rest.
template <class F, class Body>
void for_interleaved(std::int64_t count, Body body) {
  constexpr int kAtOnce = 16 * F::kInterleave;
  std::int64_t i = 0;
  if constexpr (F::kInterleave > 1) {
    for (; i + kAtOnce <= count; i += kAtOnce) body(i, WholeLanes<Several<F, F::kInterleave>>{});
  }
  for (; i + 16 <= count; i += 16) body(i, WholeLanes<F>{});
  if (i < count) body(i, FirstLanes<F>{static_cast<int>(count - i)});
}

}  // namespace megalith::cpu
